"""From a medium to a Clip: the one way in which this project reads pixels."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kinograd.types import Clip, Cut, Media, MediaType, VideoSpec
from kinograd.video.cut import Timeline, validate_cut
from kinograd.video.faults import ClipError, ClipFault
from kinograd.video.index import nearest_shown
from kinograd.video.paths import resolve
from kinograd.video.reader import Reader
from kinograd.video.sample import frame_size, sample
from kinograd.video.scale import Scaler, rotate

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

    from kinograd.config.video import VideoConfig

__all__ = ["ClipError", "ClipFault", "clip_from_frames", "decode", "probe"]


@dataclass(frozen=True)
class Source:
    """What a video file says about itself, without decoding it."""

    rate: float
    frames: int
    duration: float
    truncated_at: float | None


def probe(file: str | Path, config: VideoConfig | None = None) -> Source:
    """Rate, frame count and duration of one local file.

    Raises:
        ClipError: if it cannot be read or breaks a limit of ``config``.
    """
    from kinograd.config.video import VideoConfig

    config = config or VideoConfig()
    path = Path(file)
    full = resolve(path.name, path.parent, config.max_source_bytes)
    with Reader(full, str(file), config) as reader:
        index = reader.index
        return Source(index.rate, index.frames, index.duration, index.truncated_at)


def decode(media: Media, spec: VideoSpec, config: VideoConfig, media_root: str | Path) -> Clip:
    """The Clip of ``media`` under ``spec``.

    Raises:
        ClipError: with the fault, the path and, where it has one, the second.
    """
    if media.type is MediaType.IMAGE:
        return _image(media.cut.paths[0], spec, config, media_root)
    with ExitStack() as stack:
        readers = {
            path: stack.enter_context(
                Reader(resolve(path, media_root, config.max_source_bytes), path, config)
            )
            for path in media.cut.paths
        }
        return _with_damage(media.cut, readers, spec, config)


def _with_damage(
    cut: Cut, readers: dict[str, Reader], spec: VideoSpec, config: VideoConfig
) -> Clip:
    """Decodes; under ``on_damage: partial`` a whole file may end where it breaks."""
    may_shorten = config.on_damage == "partial" and cut == Cut.whole(cut.paths[0])
    damage: ClipError | None = None
    for reader in readers.values():
        if reader.index.truncated_at is not None:
            damage = ClipError(
                ClipFault.TRUNCATED,
                reader.label,
                "the file ends before its time; fetch it again, or set video.on_damage: "
                "partial to use what is there",
                reader.index.truncated_at,
            )
            if not may_shorten:
                raise damage
    while True:
        try:
            clip = _sampled(cut, readers, spec)
            return clip if damage is None else replace(clip, damaged=str(damage))
        except ClipError as error:
            if not may_shorten or error.reason is not ClipFault.DAMAGED or not error.at_seconds:
                raise damage if damage and error.reason is ClipFault.TOO_FEW_FRAMES else error
            damage = damage or error
            reader = readers[error.path]
            reader.index = reader.index.until(error.at_seconds)


def _sampled(cut: Cut, readers: dict[str, Reader], spec: VideoSpec) -> Clip:
    line = validate_cut(cut, readers)
    try:
        indices, times = sample(line.duration, line.rate, line.frames, spec)
    except ValueError as error:
        raise ClipError(
            ClipFault.TOO_FEW_FRAMES,
            cut.paths[0],
            f"{error}; lower video.nframes or video.min_frames, or drop the clip",
        ) from None
    canvas = Canvas(len(indices), spec)
    by_path = _wanted(line, times, readers)
    # The first source sets the size, black segments need it: sources first.
    for path in cut.paths:
        places = by_path.get(path, {})
        reader = readers[path]
        for place, frame in reader.frames_at(list(places)):
            canvas.put(frame, reader.pixel_aspect, places[place], path)
    return Clip(canvas.finished(), times, line.rate, len(indices) / line.duration, line.duration)


def _wanted(
    line: Timeline, times: np.ndarray, readers: dict[str, Reader]
) -> dict[str, dict[int, list[int]]]:
    """Per source: place of a frame in showing order -> which output frames show it."""
    shown = {path: reader.index.shown() for path, reader in readers.items()}
    out: dict[str, dict[int, list[int]]] = {}
    for number, (piece_number, second) in enumerate(line.locate(times)):
        piece = line.pieces[piece_number]
        if piece.path is None:
            continue
        place = _place(shown[piece.path], second, piece.start, piece.end, readers[piece.path].rate)
        out.setdefault(piece.path, {}).setdefault(place, []).append(number)
    return out


def _place(shown: np.ndarray, second: float, start: float, end: float, rate: float) -> int:
    """The frame on screen at ``second``, kept inside the half-open [start, end).

    A neighbour's frame across a cut's edge is never shown where the segment has a frame
    of its own within one frame's time: DarkEventInfer must not leak the hidden event.
    """
    place = int(nearest_shown(shown, np.array([second]), rate)[0])
    if place and shown[place] >= end - 1e-6:
        place -= 1
    slack = 1e-6
    if shown[place] < start - slack and place + 1 < len(shown):
        following = shown[place + 1]
        if following < min(end - slack, start + 1.0 / rate):
            place += 1
    return place


class Canvas:
    """Collects the frames of one clip at the size that its first frame sets."""

    def __init__(self, n_frames: int, spec: VideoSpec) -> None:
        self._n, self._spec = n_frames, spec
        self._scaler = Scaler(spec.resample)
        self._frames: np.ndarray | None = None

    def put(self, frame: VideoFrame, aspect: float, numbers: list[int], label: str) -> None:
        """Draws a decoded frame, turned and with square pixels, as frames ``numbers``."""
        turn = round(frame.rotation / 90) * 90 % 360
        height, width = frame.height, max(1, round(frame.width * aspect))
        if turn % 180:
            height, width = width, height
        h, w = self._size(height, width, label)
        stored = (w, h) if turn % 180 else (h, w)
        assert self._frames is not None
        self._frames[numbers] = rotate(self._scaler.rgb(frame, *stored), turn)

    def _size(self, height: int, width: int, label: str) -> tuple[int, int]:
        if self._frames is None:
            try:
                h, w = frame_size(height, width, self._n, self._spec)
            except ValueError as error:
                raise ClipError(ClipFault.ASPECT, label, f"{error}; drop the clip") from None
            self._frames = np.zeros((self._n, 3, h, w), dtype=np.uint8)
        return self._frames.shape[2], self._frames.shape[3]

    def finished(self) -> np.ndarray:
        assert self._frames is not None  # a cut has at least one source
        return self._frames


# --------------------------------------------------------------- images, arrays


def clip_from_frames(frames: Sequence[Any] | np.ndarray, fps: float, spec: VideoSpec) -> Clip:
    """A Clip of frames that are decoded already, resized like decoded ones.

    Args:
        frames: PIL images or uint8 arrays (H, W, 3), all of one size; taken as the
            sample, not sampled again. An odd tail repeats the last frame up to
            ``spec.frame_factor``, as qwen-vl-utils does.
        fps: frames per second of this list.

    Raises:
        ValueError: no frames, unlike shapes, or an aspect ratio beyond 200:1.
    """
    arrays = [_rgb_array(f) for f in frames]
    if not arrays:
        raise ValueError("a clip needs at least one frame")
    arrays += [arrays[-1]] * (-len(arrays) % spec.frame_factor)
    return _clip_of_arrays(arrays, fps, spec)


def _clip_of_arrays(arrays: list[np.ndarray], fps: float, spec: VideoSpec) -> Clip:
    if len({a.shape for a in arrays}) > 1:
        raise ValueError("all frames of a clip must have one size")
    h, w = frame_size(*arrays[0].shape[:2], len(arrays), spec)
    scaler = Scaler(spec.resample)
    pixels = np.stack([scaler.rgb_array(a, h, w) for a in arrays])
    n = len(arrays)
    return Clip(pixels, np.arange(n) / fps, fps, fps, n / fps)


def _rgb_array(frame: Any) -> np.ndarray:
    """(H, W, 3) uint8; transparency is laid on white, as qwen-vl-utils does."""
    if not isinstance(frame, np.ndarray):
        if frame.mode in ("RGBA", "LA", "PA") or "transparency" in frame.info:
            from PIL import Image

            layer = frame.convert("RGBA")
            white = Image.new("RGB", layer.size, (255, 255, 255))
            white.paste(layer, mask=layer.getchannel("A"))
            frame = white
        frame = np.asarray(frame.convert("RGB"))
    if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
        raise ValueError(f"a frame is uint8 (H, W, 3), not {frame.dtype} {frame.shape}")
    return np.ascontiguousarray(frame)


def _image(path: str, spec: VideoSpec, config: VideoConfig, media_root: str | Path) -> Clip:
    from PIL import Image, ImageOps

    file = resolve(path, media_root, config.max_source_bytes)
    try:
        with Image.open(file) as image:
            if image.width * image.height > config.max_source_pixels:
                raise ClipError(
                    ClipFault.TOO_MANY_PIXELS,
                    path,
                    f"{image.width}x{image.height} exceeds video.max_source_pixels",
                )
            array = _rgb_array(ImageOps.exif_transpose(image))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ClipError(
            ClipFault.NOT_MEDIA, path, f"not an image that can be read ({error})"
        ) from None
    try:
        return _clip_of_arrays([array], 1.0, spec)
    except ValueError as error:
        raise ClipError(ClipFault.ASPECT, path, f"{error}; drop the image") from None
