"""Events of a video: annotated in its row, or its shots, found by PySceneDetect.

Our own decoder reads the frames, so that a shot ends at the frame at which a cut would.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kinograd.types import DataError, Example, UsageError
from kinograd.video.index_cache import open_video

if TYPE_CHECKING:
    from kinograd.config.video import VideoConfig

_SHORT_SIDE = 144  # pixels are compared at about this height, as PySceneDetect's own reader does
_LEAST_SHOT_S = 0.6


@dataclass(frozen=True, slots=True)
class Event:
    """A stretch of a video from ``start`` to ``end`` seconds; ``text`` is "" if not described."""

    start: float
    end: float
    text: str = ""


def annotated_events(example: Example) -> tuple[Event, ...]:
    """Return the events under ``extra.events``, ``[{"start", "end", "text"}]``, by their start.

    Events without time or text are skipped: other tasks keep other things there.

    Raises:
        DataError: an event ends before it starts, or at no number.
    """
    rows: Any = example.extra.get("events", ())
    if not isinstance(rows, list | tuple):
        raise DataError("extra.events must be a list")
    found = [
        _event(row, f"extra.events[{number}]")
        for number, row in enumerate(rows)
        if isinstance(row, dict) and {"start", "end", "text"} <= row.keys()
    ]
    return tuple(sorted((e for e in found if e.text), key=lambda e: (e.start, e.end)))


def _event(row: dict[str, Any], where: str) -> Event:
    try:
        start, end = float(row["start"]), float(row["end"])
    except (TypeError, ValueError):
        raise DataError(f"{where}: start and end must be seconds") from None
    if not (math.isfinite(start) and math.isfinite(end) and 0 <= start < end):
        raise DataError(f"{where}: {start} to {end} s is no stretch of time")
    return Event(start, end, str(row["text"]).strip())


def shots(path: str, config: VideoConfig, media_root: str | Path) -> list[Event]:
    """Find the shots of one file, without gaps; one shot if nothing is cut.

    Raises:
        ClipError: the file cannot be decoded throughout.
        UsageError: PySceneDetect is not installed.
    """
    try:
        from scenedetect import (  # pyright: ignore[reportMissingImports]
            AdaptiveDetector,
            FrameTimecode,
        )
    except ImportError as error:
        raise UsageError(
            "finding the shots of raw clips needs PySceneDetect: pip install 'kinograd[proxy]'; "
            f"its OpenCV needs, on Debian, apt-get install libgl1 libglib2.0-0 ({error})"
        ) from None
    with open_video(path, config, media_root) as reader:
        index = reader.index
        shown = index.shown()
        detector = AdaptiveDetector(min_scene_len=max(1, round(_LEAST_SHOT_S * index.rate)))
        begins = [0.0]
        for place, frame in sorted_frames(reader.frames_at(range(index.frames))):
            height = min(_SHORT_SIDE, frame.height)
            width = max(2, round(frame.width * height / frame.height))
            picture = frame.reformat(width=width, height=height, format="bgr24").to_ndarray()
            for cut in detector.process_frame(FrameTimecode(place, index.rate), picture):
                begins.append(float(shown[cut.frame_num]))
    ends = [*begins[1:], index.duration]
    return [Event(a, b) for a, b in zip(begins, ends, strict=True) if b > a]


def sorted_frames(frames: Iterator[tuple[int, Any]]) -> Iterator[tuple[int, Any]]:
    """Yield frames in display order: a second attempt of the decoder may deliver one late."""
    waiting: dict[int, Any] = {}
    due = 0
    for place, frame in frames:
        waiting[place] = frame
        while due in waiting:
            yield due, waiting.pop(due)
            due += 1


def split_long(events: Sequence[Event], longest: float) -> tuple[Event, ...]:
    """Split every event longer than ``longest`` seconds into equal parts."""
    parts: list[Event] = []
    for event in events:
        n = math.ceil((event.end - event.start) / longest - 1e-9)
        edges = [event.start + (event.end - event.start) * i / n for i in range(n + 1)]
        parts += [Event(a, b, event.text) for a, b in pairwise(edges)]
    return tuple(parts)
