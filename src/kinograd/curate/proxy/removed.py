"""A piece is missing: where was it taken out?

The clip that is left is divided into equal parts; the gap lies between two of them, drawn
uniformly.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from kinograd.curate.proxy.options import Removed
from kinograd.curate.proxy.source_video import Film, lettered
from kinograd.datasets.rows import Rejected
from kinograd.types import Example, Kind

QUESTION = (
    "About {gap:.1f} seconds were cut out of this clip at one place, and the two ends joined. "
    "Divide what is left into {parts} parts of equal length. Where is the cut?"
)


def build(films: Iterable[Film], options: Removed, seed: int = 0) -> Iterator[Example | Rejected]:
    """One row per film that is long enough."""
    for film in films:
        yield _row(film, options, seed)


def _row(film: Film, options: Removed, seed: int) -> Example | Rejected:
    parts = options.places + 1
    left = min(options.total, film.duration - options.gap)
    if left < parts * options.shortest:
        return film.refuse(f"too short to take something out: {film.duration:.1f} s")
    rng = film.rng("removed", seed)
    begin = float(rng.uniform(0, film.duration - options.gap - left))
    place = int(rng.integers(options.places))
    cut = left * (place + 1) / parts
    segments = (
        *film.show(begin, begin + cut),
        *film.show(begin + cut + options.gap, begin + left + options.gap),
    )
    texts = [f"between parts {i} and {i + 1}, at {left * i / parts:.1f} s" for i in range(1, parts)]
    return film.row(
        "removed",
        Kind.MULTIPLE_CHOICE,
        QUESTION.format(gap=options.gap, parts=parts),
        chr(ord("A") + place),
        segments,
        lettered(texts),
        chance=1 / options.places,
        removed=[begin + cut, begin + cut + options.gap],
    )
