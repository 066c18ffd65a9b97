"""Temporal jigsaw: the pieces of a clip are shown in a random order; the question is which.

After VideoSSR (arXiv 2511.06281). The right order is drawn uniformly, and so are the wrong
ones offered beside it: an answer without looking is at chance.
"""

from __future__ import annotations

from itertools import permutations
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from kinograd.datasets.rows import Rejected
from kinograd.proxy.source_video import SourceVideo
from kinograd.proxy.task import Length, ProxyTask, Seconds
from kinograd.types import Example, Kind

QUESTION = (
    "A clip was cut into {n} pieces of equal length, which are now shown one after another in an "
    "order drawn at random. Number the pieces 1 to {n} as they are shown. In which order did they "
    "happen?"
)


class Jigsaw(ProxyTask):
    """Temporal jigsaw: the order of shuffled pieces."""

    name: ClassVar[str] = "jigsaw"
    about: ClassVar[str] = "Show pieces in a random order: in which order did they happen?"

    pieces: Annotated[int, Field(ge=2, le=6)] = 3
    """Number of pieces, 2 to 6."""
    gap: Seconds = 0.5
    """Seconds left out between neighbours, so that a seam alone gives nothing away."""
    shortest: Length = 1.0
    """Shortest piece."""
    total: Length = 30.0
    """Most seconds to cut up."""
    choices: Annotated[int, Field(ge=2, le=26)] = 4
    """Number of orders to choose from, 2 to 26."""
    form: Literal["choice", "number"] = "choice"
    """Multiple choice, or the order written as one number."""

    def row(self, video: SourceVideo) -> Example | Rejected:
        n = self.pieces
        length = min(self.total, video.duration)
        piece = (length - (n - 1) * self.gap) / n
        if piece < self.shortest:
            return video.reject(f"too short for {n} pieces: {video.duration:.1f} s")
        rng = video.rng(self.name, self.seed)
        begin = float(rng.uniform(0, video.duration - length))
        starts = [begin + i * (piece + self.gap) for i in range(n)]
        orders = list(permutations(range(n)))
        drawn = [orders[i] for i in rng.permutation(len(orders))[: self.choices]]
        right = int(rng.integers(len(drawn)))
        happened = drawn[right]  # places in which the pieces are shown, in order of time
        shown = [starts[happened.index(place)] for place in range(n)]
        segments = tuple(s for start in shown for s in video.show(start, start + piece))
        question = QUESTION.format(n=n)
        extra = {"starts": shown, "length": piece}
        if self.form == "number":
            question += (
                f" Write the numbers one after another without spaces, such as {'123456'[:n]}."
            )
            answer = "".join(str(p + 1) for p in happened)
            return video.row(self.name, Kind.NUMERICAL, question, answer, segments, **extra)
        texts = [", ".join(str(p + 1) for p in order) for order in drawn]
        return video.choice_row(self.name, question, texts, right, segments, **extra)
