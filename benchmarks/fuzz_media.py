"""Child of ``fuzz.py``: mutate one medium per attempt and compare the clip with a plain decode."""

from __future__ import annotations

import json
import sys
import tempfile
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
from av.error import FFmpegError
from PIL import Image

from kinograd.config.video import VideoConfig
from kinograd.types import Clip, Cut, Media, MediaType
from kinograd.video.clip_store import ClipStore
from kinograd.video.faults import ClipError

FRAMES, SIZE, BITS, RATE = 24, (56, 112), 8, 8
SAMPLED = 8
# Mean absolute difference (of 255) between two scalings of the same picture.
SAME = 12.0
SOURCES = {
    "h264.mp4": ("libx264", "yuv420p", {"g": "8", "bf": "2"}, {"movflags": "faststart"}),
    "h264.avi": ("libx264", "yuv420p", {"g": "8", "bf": "2"}, {}),
    "h264.ts": ("libx264", "yuv420p", {"g": "8"}, {}),
    "h264.mkv": ("libx264", "yuv420p", {"g": "8", "x264-params": "open-gop=1"}, {}),
    "h265.mkv": ("libx265", "yuv420p", {"x265-params": "log-level=none:keyint=8"}, {}),
    "h265.mp4": ("libx265", "yuv420p", {"x265-params": "log-level=none:keyint=8"}, {}),
    "vp9.webm": ("libvpx-vp9", "yuv420p", {"cpu-used": "8", "g": "8"}, {}),
    "mpeg4.avi": ("mpeg4", "yuv420p", {"bf": "2", "g": "8"}, {}),
    "mpeg4.mov": ("mpeg4", "yuv420p", {"g": "8"}, {}),
    "mjpeg.mov": ("mjpeg", "yuvj420p", {}, {}),
    "mpeg2.mpg": ("mpeg2video", "yuv420p", {"g": "8", "bf": "2"}, {}),
    "flv.flv": ("flv1", "yuv420p", {"g": "8"}, {}),
}
IMAGES = {"a.png": "PNG", "a.jpg": "JPEG", "a.webp": "WEBP", "a.tif": "TIFF", "a.bmp": "BMP"}


def picture(number: int) -> np.ndarray:
    """(H, W, 3): ``number`` as black and white columns, readable after any codec."""
    height, width = SIZE
    row = np.repeat([(number >> bit) & 1 for bit in range(BITS)], width // BITS)
    return np.repeat(np.repeat((row * 200 + 25).astype(np.uint8)[None, :, None], height, 0), 3, 2)


def make_sources(root: Path) -> dict[str, bytes]:
    """Write every source once and return its bytes by file name."""
    for name, (codec, pixels, options, muxing) in SOURCES.items():
        with av.open(str(root / name), "w", options=muxing) as container:
            rate = 25 if codec == "mpeg2video" else RATE
            stream = container.add_stream(codec, rate=rate, options=options)
            stream.height, stream.width = SIZE
            stream.pix_fmt = pixels
            for number in range(FRAMES):
                frame = av.VideoFrame.from_ndarray(picture(number), format="rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    for name, form in IMAGES.items():
        Image.fromarray(picture(101)).save(root / name, form)
    return {name: (root / name).read_bytes() for name in (*SOURCES, *IMAGES)}


def mutate(data: bytes, rng: np.random.Generator) -> bytes:
    """Cut, flip, zero, drop or copy bytes; half the time near the header or the index."""
    out, size = bytearray(data), len(data)
    window = size if rng.random() < 0.5 else min(size, 2048)
    offset = 0 if rng.random() < 0.7 else size - window
    kind = rng.choice(["cut", "flip", "bytes", "zero", "drop", "copy"])
    start = offset + int(rng.integers(window))
    end = min(size, start + 1 + int(rng.integers(max(1, window // 8))))
    if kind == "cut":
        return data[: max(1, start)]
    if kind == "flip":
        for place in offset + rng.integers(window, size=int(rng.integers(1, 12))):
            out[place] ^= 1 << int(rng.integers(8))
    elif kind == "bytes":
        for place in offset + rng.integers(window, size=int(rng.integers(1, 6))):
            out[place] = int(rng.choice([0, 1, 0x7F, 0x80, 0xFF, int(rng.integers(256))]))
    elif kind == "zero":
        out[start:end] = bytes(end - start)
    elif kind == "drop":
        del out[start:end]
    else:
        out[start:start] = data[start:end]
    return bytes(out)


def plain_decode(file: Path) -> tuple[np.ndarray, np.ndarray | None, bool]:
    """All frames that a plain decode gives: (N, H, W, 3), their seconds, whether errors occurred.

    Seconds are None where a frame has no time or the times do not ascend.
    """
    frames: list[np.ndarray] = []
    times: list[float | None] = []
    with av.open(str(file), metadata_errors="replace") as container:
        stream = container.streams.best("video")
        if stream is None:
            return np.zeros((0, *SIZE, 3)), None, True
        stream.thread_type = "NONE"
        clean = True
        try:
            for packet in container.demux(stream):
                for frame in packet.decode():
                    clean = clean and not frame.is_corrupt
                    shown = frame.reformat(SIZE[1], SIZE[0], "rgb24").to_ndarray()
                    frames.append(shown)
                    times.append(frame.time)
        except (FFmpegError, ValueError):
            clean = False
    known = [t for t in times if t is not None]
    ascending = len(known) == len(times) and all(a < b for a, b in pairwise(known))
    return np.array(frames), np.array(known) if ascending else None, clean


def agrees(clip: Clip, frames: np.ndarray, times: np.ndarray | None) -> str | None:
    """Return None if every sampled frame is the plain decode's at its time, else what differs.

    A frame may be any of those within one frame's time, so that rounding is no fault. Without
    times only the order is compared.
    """
    shown = clip.frames.transpose(0, 2, 3, 1).astype(np.float32)
    if shown.shape[1:3] != SIZE or not len(frames):
        return None  # another size, or nothing to compare with: out of this comparison's reach
    gaps = np.abs(frames[None].astype(np.float32) - shown[:, None]).mean(axis=(2, 3, 4))
    if times is None:
        last = 0
        for i, row in enumerate(gaps):
            found = np.flatnonzero(row <= max(SAME, row.min() + 1))
            later = found[found >= last]
            if not len(later):
                return f"frame {i} is out of order"
            last = int(later[0])
        return None
    seconds = times - times[0]
    for i, (row, at) in enumerate(zip(gaps, clip.timestamps, strict=True)):
        place = int(np.searchsorted(seconds, at + 1e-3, side="right")) - 1
        near = [p for p in (place - 1, place, place + 1) if 0 <= p < len(seconds)]
        if not near or row[near].min() > max(SAME, row.min() + 1):
            return f"frame {i} at {at:.3f} s shows plain frame {int(row.argmin())}, not {place}"
    return None


def attempt(store: ClipStore, root: Path, name: str, data: bytes) -> tuple[str, str]:
    """(how it ended, what was seen) for one mutated file."""
    file = root / name
    file.write_bytes(data)
    type = MediaType.IMAGE if name.split(".")[-1] in ("png", "jpg", "webp", "tif", "bmp") else None
    medium = Media(type or MediaType.VIDEO, Cut.whole(name))
    try:
        clip = store.get(medium)
    except ClipError as error:
        own = "traceback" if "the decoder failed" in error.detail else "named_error"
        return own, str(error)
    if type is MediaType.IMAGE:
        with Image.open(BytesIO(data)) as image:
            wanted = np.asarray(image.convert("RGB").resize(SIZE[::-1]), np.float32)
        got = clip.frames[0].transpose(1, 2, 0)
        same = got.shape != wanted.shape or np.abs(got - wanted).mean() <= SAME
        return ("right", "") if same else ("silent_wrong", "other pixels than Pillow's")
    frames, times, _ = plain_decode(file)
    what = agrees(clip, frames, times)
    return ("right", "") if what is None else ("silent_wrong", what)


def main() -> None:
    _, seed, start, stop = sys.argv[1:]
    config = VideoConfig(
        nframes=SAMPLED, min_pixels=1, max_pixels=1 << 20, workers=1, timeout_s=20.0,
        max_duration_s=600.0, memory_gb=0.01,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        sources = make_sources(root)
        with ClipStore(config, root, 28) as store:
            for number in range(int(start), int(stop)):
                rng = np.random.default_rng([int(seed), number])
                source = str(rng.choice(sorted(sources)))
                data = mutate(sources[source], rng)
                name = f"{number}.{source.split('.')[-1]}"
                end, what = attempt(store, root, name, data)
                record = {"try": number, "end": end, "what": f"{source}: {what}"[:300]}
                print(json.dumps(record), flush=True)
                (root / name).unlink()


if __name__ == "__main__":
    main()
