"""Temporal jigsaw: the pieces of a clip in a wrong or right order; which order was it?

After VideoSSR (arXiv 2511.06281). The right order is drawn uniformly, and so are the wrong
ones offered beside it: whoever does not look is at chance.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import permutations

from kinograd.curate.proxy.options import Jigsaw
from kinograd.curate.proxy.source_video import Film, lettered
from kinograd.datasets.rows import Rejected
from kinograd.types import Example, Kind

QUESTION = (
    "A clip was cut into {n} pieces of equal length, which are now shown one after another in an "
    "order drawn at random. Number the pieces 1 to {n} as they are shown. In which order did they "
    "happen?"
)


def build(films: Iterable[Film], options: Jigsaw, seed: int = 0) -> Iterator[Example | Rejected]:
    """One row per film that is long enough."""
    for film in films:
        yield _row(film, options, seed)


def _row(film: Film, options: Jigsaw, seed: int) -> Example | Rejected:
    n = options.pieces
    length = min(options.total, film.duration)
    piece = (length - (n - 1) * options.gap) / n
    if piece < options.shortest:
        return film.refuse(f"too short for {n} pieces: {film.duration:.1f} s")
    rng = film.rng("jigsaw", seed)
    begin = float(rng.uniform(0, film.duration - length))
    starts = [begin + i * (piece + options.gap) for i in range(n)]
    orders = list(permutations(range(n)))
    drawn = [orders[i] for i in rng.permutation(len(orders))[: options.choices]]
    right = int(rng.integers(len(drawn)))
    happened = drawn[right]  # places in which the pieces are shown, in order of time
    shown = [starts[happened.index(place)] for place in range(n)]
    segments = tuple(s for start in shown for s in film.show(start, start + piece))
    question = QUESTION.format(n=n)
    told = {"starts": shown, "length": piece}
    if options.form == "number":
        question += f" Write the numbers one after another without spaces, such as {'123456'[:n]}."
        answer = "".join(str(p + 1) for p in happened)
        return film.row("jigsaw", Kind.NUMERICAL, question, answer, segments, **told)
    texts = [", ".join(str(p + 1) for p in order) for order in drawn]
    letter = chr(ord("A") + right)
    return film.row(
        "jigsaw",
        Kind.MULTIPLE_CHOICE,
        question,
        letter,
        segments,
        lettered(texts),
        chance=1 / len(drawn),
        **told,
    )
