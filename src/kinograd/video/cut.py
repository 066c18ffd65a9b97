"""Cuts: JSON form, validation against their sources, and placement in time.

JSON (docs/guide/video.md): ``{"type": "video", "path": "a.mp4"}`` for a whole file, or
``{"type": "video", "cut": [{"path": "a.mp4", "start": 0, "end": 12.4}, {"black": 5.1}]}``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kinograd.types import Black, Cut, DataError, Media, MediaType, Span
from kinograd.video.faults import ClipError, ClipFault

if TYPE_CHECKING:
    from kinograd.video.packet_index import PacketIndex


_FOREVER_S = 1e15  # what comes near to it is no time, and some integers are no float

# ------------------------------------------------------------------------ JSON


def media_from_json(obj: Any) -> Media:
    """Return a Media from its JSON object. Unknown keys and wrong types are errors.

    Raises:
        DataError: naming the segment and what is wrong with it.
    """
    if not isinstance(obj, dict):
        raise DataError(f"a medium is an object with 'type' and 'path' or 'cut', not {obj!r:.80}")
    kind = obj.get("type")
    if kind not in ("video", "image"):
        raise DataError(f"media type must be 'video' or 'image', not {kind!r:.80}")
    if ("path" in obj) == ("cut" in obj):
        raise DataError(f"a medium has either 'path' or 'cut': {obj!r:.200}")
    _only(obj, {"type", "path", "cut"}, "medium")
    if "path" in obj:
        return Media(MediaType(kind), Cut.whole(_path(obj["path"], "medium")))
    if kind == "image":
        raise DataError("an image has a 'path'; only a video has a 'cut'")
    segments = obj["cut"]
    if not isinstance(segments, list) or not segments:
        raise DataError("'cut' must be a list of at least one segment")
    cut = Cut(tuple(_segment(s, f"cut segment {i}") for i, s in enumerate(segments)))
    if not cut.paths:
        raise DataError("a cut needs at least one source file; this one is black throughout")
    return Media(MediaType.VIDEO, cut)


def media_to_json(media: Media) -> dict[str, Any]:
    """Return the JSON object of ``media``, from which ``media_from_json`` makes it again."""
    cut = media.cut
    if cut.paths and cut == Cut.whole(cut.paths[0]):
        return {"type": media.type.value, "path": cut.paths[0]}
    return {"type": media.type.value, "cut": [_segment_to_json(s) for s in cut.segments]}


def _segment_to_json(segment: Span | Black) -> dict[str, Any]:
    if isinstance(segment, Black):
        return {"black": segment.duration}
    out: dict[str, Any] = {"path": segment.path, "start": segment.start}
    return out if segment.end is None else out | {"end": segment.end}


def _segment(obj: Any, where: str) -> Span | Black:
    if not isinstance(obj, dict):
        raise DataError(f"{where} is not an object: {obj!r:.80}")
    if "black" in obj:
        _only(obj, {"black"}, where)
        seconds = _number(obj["black"], f"{where}: black")
        if seconds <= 0:
            raise DataError(f"{where}: black must last longer than {seconds} s")
        return Black(seconds)
    if "path" not in obj:
        raise DataError(f"{where} needs 'path' or 'black': {obj!r:.120}")
    _only(obj, {"path", "start", "end"}, where)
    path = _path(obj["path"], where)
    where = f"{where} ({path})"
    start = _number(obj.get("start", 0.0), f"{where}: start")
    end = None if obj.get("end") is None else _number(obj["end"], f"{where}: end")
    if start < 0:
        raise DataError(f"{where}: start {start} is negative")
    if end is not None and start >= end:
        raise DataError(f"{where}: start {start} is not before end {end}")
    return Span(path, start, end)


def _only(obj: dict[str, Any], known: set[str], where: str) -> None:
    if unknown := sorted(set(map(str, obj)) - known):
        raise DataError(f"{where}: unknown key {unknown[0]!r}; known: {', '.join(sorted(known))}")


def _path(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value:
        raise DataError(f"{where}: path must be a non-empty string, not {value!r:.80}")
    return value


def _number(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise DataError(f"{where} must be a number of seconds, not {value!r:.80}")
    if not abs(value) < _FOREVER_S:  # nor is NaN
        raise DataError(f"{where} must be finite, not {value!r:.80}")
    return float(value)


# ------------------------------------------------------------------------ time


@dataclass(frozen=True, slots=True)
class Piece:
    """One segment in its place: shown from ``offset`` on the cut's timeline.

    ``path`` is None for black; ``start`` and ``end`` are source seconds.
    """

    path: str | None
    start: float
    end: float
    offset: float


@dataclass(frozen=True, slots=True)
class Timeline:
    """A validated cut as a clip of ``frames`` frames at ``rate`` per second."""

    pieces: tuple[Piece, ...]
    rate: float
    frames: int
    duration: float

    def locate(self, times: np.ndarray) -> list[tuple[int, float]]:
        """Return (piece number, second inside its source) for each second of the timeline."""
        offsets = np.array([p.offset for p in self.pieces])
        # half a frame's millionth forgives the rounding of sums, not of frames
        which = np.searchsorted(offsets, times + 1e-6 / self.rate, side="right") - 1
        return [
            (int(k), self.pieces[k].start + float(t) - self.pieces[k].offset)
            for k, t in zip(which, times, strict=True)
        ]


def validate_cut(
    cut: Cut, sources: Mapping[str, PacketIndex], longest: float = math.inf
) -> Timeline:
    """Place a cut in time and check each segment against its source.

    Segments are half-open and may overlap in their sources. The nominal rate is the
    first source's; a cut of one whole file has exactly that file's frames. An end up to
    one frame beyond the source is taken as its end (annotations are rounded).

    Args:
        longest: seconds that the timeline may last (``video.max_duration_s``); black and
            repeated segments make a cut longer than any of its sources.

    Raises:
        ClipError: BAD_CUT, naming the file and the segment, or TOO_LONG.
    """
    if not cut.paths:
        raise ClipError(ClipFault.BAD_CUT, "cut", "a cut needs at least one source file")
    first = cut.paths[0]
    source = sources[first]
    pieces: list[Piece] = []
    offset = 0.0
    for number, segment in enumerate(cut.segments):
        if isinstance(segment, Black):
            start, end, path = 0.0, segment.duration, None
        else:
            start, end = _inside(segment, number, sources[segment.path])
            path = segment.path
        if not end > start >= 0:
            why = f"segment {number} ({start} to {end} s) is empty"
            raise ClipError(ClipFault.BAD_CUT, path or "black", why)
        pieces.append(Piece(path, start, end, offset))
        offset += end - start
    if offset > longest:
        why = f"the cut lasts {offset:.0f} s, more than video.max_duration_s = {longest:.0f}"
        raise ClipError(ClipFault.TOO_LONG, first, why)
    frames = source.frames if cut == Cut.whole(first) else max(1, round(offset * source.rate))
    return Timeline(tuple(pieces), source.rate, frames, offset)


def _inside(span: Span, number: int, source: PacketIndex) -> tuple[float, float]:
    length = source.duration
    if span.start >= length:
        late = f"starts at {span.start} s"
    elif span.end is not None and span.end > length + 1.0 / source.rate:
        late = f"ends at {span.end} s"
    else:
        return span.start, length if span.end is None else min(span.end, length)
    why = f"segment {number} {late}, but the source ends at {length:.3f} s"
    raise ClipError(ClipFault.BAD_CUT, span.path, why)
