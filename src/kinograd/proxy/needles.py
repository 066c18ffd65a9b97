"""Needles: short pieces of another clip, or of black, are put in; the question is how many.

After VNBench (arXiv 2406.09367). The number is drawn uniformly and the clip always lasts the
same: its length gives nothing away.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from kinograd.datasets.rows import Rejected
from kinograd.proxy.source_video import Segments, SourceVideo, pair_up
from kinograd.proxy.task import Length, ProxyTask, Seconds
from kinograd.section import Positive
from kinograd.types import Black, Example, Kind

QUESTION = "How many times is this clip interrupted by {what}? Answer with a number."
_WHAT = {"clip": "a short piece of another clip", "black": "a black screen"}


class Needles(ProxyTask):
    """Counting of short pieces that do not belong."""

    name: ClassVar[str] = "needles"
    about: ClassVar[str] = "Put short pieces of another clip in: how many?"

    fewest: Annotated[int, Field(ge=0)] = 1
    """Fewest needles."""
    most: Positive = 4
    """Most needles."""
    length: Length = 1.0
    """Length of a needle; sample at least one frame in that time."""
    spacing: Seconds = 1.0
    """Least time between needles, and from either end."""
    needle: Literal["clip", "black"] = "clip"
    """Pieces of another clip, or black."""
    total: Length = 30.0
    """Most seconds of the clip with its needles."""

    def build(self, videos: Sequence[SourceVideo]) -> Iterator[Example | Rejected]:
        """Yield one row per video; pieces of another clip come from the same split."""
        for video, other in pair_up(videos, self.name, self.seed, self.length):
            yield self._row(video, other)

    def _row(self, video: SourceVideo, other: SourceVideo | None) -> Example | Rejected:
        total = min(self.total, video.duration + self.fewest * self.length)
        most, length, spacing = self.most, self.length, self.spacing
        if total < most * length + (most + 1) * spacing:
            return video.reject(f"too short for {most} needles: {video.duration:.1f} s")
        if self.needle == "clip" and other is None:
            return video.reject("nothing to make needles of: no other source in its split")
        rng = video.rng(self.name, self.seed)
        count = int(rng.integers(self.fewest, most + 1))
        host = total - count * length
        begin = float(rng.uniform(0, video.duration - host))
        slack = host - (count + 1) * spacing
        places = np.sort(rng.uniform(0, slack, count)) + spacing * np.arange(1, count + 1)
        segments: Segments = ()
        at = 0.0
        for place in map(float, places):
            segments += video.show(begin + at, begin + place)
            if self.needle == "black" or other is None:
                segments += (Black(length),)
            else:
                start = float(rng.uniform(0, other.duration - length))
                segments += other.show(start, start + length)
            at = place
        segments += video.show(begin + at, begin + host)
        return video.row(
            self.name,
            Kind.NUMERICAL,
            QUESTION.format(what=_WHAT[self.needle]),
            str(count),
            segments,
            chance=1 / (most - self.fewest + 1),
            needles=[p + i * length for i, p in enumerate(map(float, places))],
        )
