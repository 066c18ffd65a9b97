"""Six videos, one of each colour, annotated and raw."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kinograd.config.video import VideoConfig
from kinograd.datasets.jsonl import write_examples
from kinograd.proxy.source_video import (
    SourceVideo,
    assign_splits,
    make_prober,
    raw_clips,
)
from kinograd.synthetic.mp4_writer import FPS, write_mp4
from kinograd.types import Clip, Cut, Example, Kind, Media, MediaType
from kinograd.video.clip_store import ClipStore

SECONDS = 12
GROUNDS = {
    "red": (200, 30, 30),
    "green": (30, 180, 30),
    "blue": (40, 60, 220),
    "yellow": (210, 210, 40),
    "purple": (170, 40, 190),
    "cyan": (40, 200, 210),
}
EVENTS = [(2.0, 4.0, "comes in"), (5.0, 7.5, "turns around"), (8.0, 10.0, "goes out")]


def colour_of(frame: np.ndarray) -> str:
    """The ground of a frame, uint8 (C, H, W), or black."""
    ground = np.median(frame.reshape(3, -1), axis=1)
    if ground.max() < 20:
        return "black"
    return min(GROUNDS, key=lambda name: float(np.abs(ground - GROUNDS[name]).sum()))


def scene(ground: tuple[int, int, int], seconds: float = SECONDS) -> np.ndarray:
    """uint8 (T, 56, 56, 3): a white bar that wanders down, so that every frame is another."""
    frames = np.empty((round(seconds * FPS), 56, 56, 3), np.uint8)
    frames[:] = ground
    for i, frame in enumerate(frames):
        frame[i % 52 : i % 52 + 4] = 255
    return frames


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of raw clips, one of each ground."""
    folder = tmp_path_factory.mktemp("clips")
    for name, ground in GROUNDS.items():
        write_mp4(folder / f"{name}.mp4", scene(ground))
    return folder


@pytest.fixture(scope="session")
def rows(clips: Path) -> list[Example]:
    """The clips with events and questions."""
    return [
        Example(
            id=f"film-{name}",
            kind=Kind.FREE_FORM,
            question=f"What does the bar on the {name} ground do?",
            answer=f"It wanders down the {name} picture",
            media=(Media(MediaType.VIDEO, Cut.whole(f"{name}.mp4")),),
            extra={
                "events": [
                    {"start": a, "end": b, "text": f"the {name} bar {does}"}
                    for a, b, does in EVENTS
                ]
            },
        )
        for name in GROUNDS
    ]


@pytest.fixture(scope="session")
def videos(rows: list[Example], clips: Path) -> list[SourceVideo]:
    return probed(rows, clips)


@pytest.fixture(scope="session")
def raw_videos(clips: Path) -> list[SourceVideo]:
    return probed(list(raw_clips(clips, clips)), clips)


def probed(rows: list[Example], clips: Path) -> list[SourceVideo]:
    probe = make_prober(str(clips))
    found = list(assign_splits((probe(("rows", row)) for row in rows), None, 0))
    assert all(isinstance(video, SourceVideo) for video in found)
    return [video for video in found if isinstance(video, SourceVideo)]


@pytest.fixture
def annotated(rows: list[Example], tmp_path: Path) -> Path:
    path = tmp_path / "annotated.jsonl"
    write_examples(path, rows)
    return path


@pytest.fixture
def every_frame(clips: Path) -> Callable[[Media], Clip]:
    """Decodes a medium at its own rate: every frame of it."""
    config = VideoConfig(
        fps=FPS, min_frames=2, max_frames=400, min_pixels=784, max_pixels=3136, workers=0
    )
    with ClipStore(config, clips, 28) as store:
        yield store.get
