"""Forwards or backwards: each video is shown once either way, so its content gives nothing away.

Backwards is a cut of single frames, last first; nothing is rendered.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import ClassVar

from kinograd.datasets.rows import Rejected
from kinograd.proxy.source_video import SourceVideo
from kinograd.proxy.task import Length, ProxyTask
from kinograd.types import Example, Span

QUESTION = "Is this clip shown forwards, as it was filmed, or backwards?"
_WAYS = ("forwards", "backwards")


class Reversed(ProxyTask):
    """Direction of time."""

    name: ClassVar[str] = "reversed"
    about: ClassVar[str] = "Show each clip both ways: forwards or backwards?"

    shortest: Length = 2.0
    """Shortest video."""
    total: Length = 10.0
    """Most seconds shown; a row holds a segment for every frame."""

    def build(self, videos: Sequence[SourceVideo]) -> Iterator[Example | Rejected]:
        """Yield two rows per video, with the same options in the same order."""
        for video in videos:
            yield from self._pair(video)

    def _pair(self, video: SourceVideo) -> Iterator[Example | Rejected]:
        if video.duration < self.shortest:
            yield video.reject(f"too short to tell its direction: {video.duration:.1f} s")
            return
        rng = video.rng(self.name, self.seed)
        rate = video.line.rate
        frames = int(min(self.total, video.duration) * rate + 1e-6)
        spare = int(video.duration * rate + 1e-6) - frames
        first = int(rng.integers(spare + 1))
        forwards = video.show(first / rate, (first + frames) / rate)
        steps = (video.show(i / rate, (i + 1) / rate) for i in range(first, first + frames))
        backwards = tuple(s for step in reversed(list(steps)) for s in reversed(step))
        if not any(isinstance(s, Span) for s in forwards):
            yield video.reject("black throughout")
            return
        order = [_WAYS[i] for i in rng.permutation(2)]
        for way, segments in zip(_WAYS, (forwards, backwards), strict=True):
            row = video.choice_row(self.name, QUESTION, order, order.index(way), segments)
            yield replace(row, id=f"{row.id}-{way}")
