"""Removed piece: seconds are cut out of a clip; the question is where.

The clip that is left is divided into equal parts; the gap lies between two of them, drawn
uniformly.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from kinograd.datasets.rows import Rejected
from kinograd.proxy.source_video import SourceVideo
from kinograd.proxy.task import Length, ProxyTask
from kinograd.types import Example

QUESTION = (
    "About {gap:.1f} seconds were cut out of this clip at one place, and the two ends joined. "
    "Divide what is left into {parts} parts of equal length. Where is the cut?"
)


class Removed(ProxyTask):
    """Finding the place at which a piece was cut out."""

    name: ClassVar[str] = "removed"
    about: ClassVar[str] = "Cut a piece out: where?"

    places: Annotated[int, Field(ge=2, le=26)] = 4
    """Number of places at which the gap may be, 2 to 26."""
    gap: Length = 3.0
    """Seconds cut out."""
    shortest: Length = 1.0
    """Shortest part between two places."""
    total: Length = 30.0
    """Most seconds that are left."""

    def row(self, video: SourceVideo) -> Example | Rejected:
        parts = self.places + 1
        left = min(self.total, video.duration - self.gap)
        if left < parts * self.shortest:
            return video.reject(f"too short to take something out: {video.duration:.1f} s")
        rng = video.rng(self.name, self.seed)
        begin = float(rng.uniform(0, video.duration - self.gap - left))
        place = int(rng.integers(self.places))
        cut = left * (place + 1) / parts
        segments = (
            *video.show(begin, begin + cut),
            *video.show(begin + cut + self.gap, begin + left + self.gap),
        )
        texts = [
            f"between parts {i} and {i + 1}, at {left * i / parts:.1f} s" for i in range(1, parts)
        ]
        question = QUESTION.format(gap=self.gap, parts=parts)
        removed = [begin + cut, begin + cut + self.gap]
        return video.choice_row(self.name, question, texts, place, segments, removed=removed)
