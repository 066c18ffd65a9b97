"""Real video files, written once per session, whose frames say which frame they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from kinograd.config.video import VideoConfig
from kinograd.types import Cut, Media, MediaType
from kinograd.video.clip_store import ClipStore

BITS = 8


def draw_number(number: int, height: int, width: int) -> np.ndarray:
    """(H, W, 3): the number in black and white columns, readable after any codec."""
    columns = [(number >> bit) & 1 for bit in range(BITS)]
    row = np.repeat(columns, -(-width // BITS))[:width].astype(np.uint8) * 200 + 25
    return np.repeat(np.repeat(row[None, :, None], height, 0), 3, 2)


def read_number(frame: np.ndarray) -> int:
    """The number drawn on a (3, H, W) frame."""
    width = frame.shape[2]
    step = -(-width // BITS)
    middles = np.minimum(np.arange(BITS) * step + step // 2, width - 1)
    bits = frame.mean(axis=(0, 1))[middles] > 125
    return int((bits * (1 << np.arange(BITS))).sum())


class Clips:
    """Writes video files under one folder; the same name is written once."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def make(
        self,
        name: str,
        frames: int | Sequence[np.ndarray] = 30,
        *,
        codec: str = "libx264",
        rate: float = 10,
        size: tuple[int, int] = (64, 128),
        pixels: str = "yuv420p",
        options: dict[str, str] | None = None,
        pts: Sequence[int] | None = None,
        time_base: Fraction | None = None,
        tag: Callable[[av.VideoFrame], None] = lambda frame: None,
        prepare: Callable[[av.VideoStream], None] = lambda stream: None,
        sound: bool = False,
        container_options: dict[str, str] | None = None,
    ) -> str:
        """The name of a file whose frame ``i`` shows the number ``i``."""
        path = self.root / name
        if path.exists():
            return name
        path.parent.mkdir(parents=True, exist_ok=True)
        pictures = (
            [draw_number(i, *size) for i in range(frames)] if isinstance(frames, int) else frames
        )
        with av.open(str(path), "w", options=container_options or {}) as container:
            exact = Fraction(rate).limit_denominator(1001)
            stream = container.add_stream(codec, rate=exact, options=options or {})
            stream.height, stream.width = pictures[0].shape[:2]
            stream.pix_fmt = pixels
            stream.codec_context.thread_count = 1
            if time_base is not None:
                stream.time_base = stream.codec_context.time_base = time_base
            prepare(stream)
            if sound:
                beep = container.add_stream("aac", rate=16000)
                beep.layout = "mono"
            for number, picture in enumerate(pictures):
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts = number if pts is None else pts[number]
                frame.time_base = time_base or 1 / exact
                tag(frame)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
            if sound:
                silence = av.AudioFrame(format="fltp", layout="mono", samples=1024)
                silence.sample_rate, silence.pts = 16000, 0
                for plane in silence.planes:
                    plane.update(bytes(plane.buffer_size))
                container.mux(beep.encode(silence))
                container.mux(beep.encode(None))
        return name


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Clips:
    return Clips(tmp_path_factory.mktemp("clips"))


@pytest.fixture(scope="session")
def number_of() -> Callable[[np.ndarray], int]:
    return read_number


@pytest.fixture(scope="session")
def drawn() -> Callable[[int, int, int], np.ndarray]:
    return draw_number


@pytest.fixture
def small() -> VideoConfig:
    """Every frame, at its own size, decoded in this process."""
    return config()


def config(**changes: object) -> VideoConfig:
    values = {"nframes": 8, "min_pixels": 1, "max_pixels": 1 << 20, "workers": 0} | changes
    return VideoConfig(**values)


@pytest.fixture(scope="session")
def make_config() -> Callable[..., VideoConfig]:
    return config


@pytest.fixture(scope="session")
def video() -> Callable[[str], Media]:
    return lambda path: Media(MediaType.VIDEO, Cut.whole(path))


@pytest.fixture
def media(clips, video) -> list[Media]:
    return [video(clips.make(f"store_{i}.mp4", 16 + i)) for i in range(6)]


@pytest.fixture
def store(clips, make_config):
    """Opens stores on the session's clips and closes them after the test."""
    opened: list[ClipStore] = []

    def open_store(**changes) -> ClipStore:
        config = make_config(**({"workers": 1} | changes))
        opened.append(ClipStore(config, clips.root, 28))
        return opened[-1]

    yield open_store
    for each in opened:
        each.close()
