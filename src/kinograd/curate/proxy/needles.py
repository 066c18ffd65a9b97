"""Needles: short pieces of another clip, or of black, are put in; how many?

After VNBench (arXiv 2406.09367). The number is drawn uniformly and the whole always lasts the
same: its length tells nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from kinograd.curate.proxy.options import Needles
from kinograd.curate.proxy.source_video import Film, Segments, partners
from kinograd.datasets.rows import Rejected
from kinograd.types import Black, Example, Kind

QUESTION = "How many times is this clip interrupted by {what}? Answer with a number."
_WHAT = {"clip": "a short piece of another clip", "black": "a black screen"}


def build(films: Sequence[Film], options: Needles, seed: int = 0) -> Iterator[Example | Rejected]:
    """One row per film; pieces of another clip come from the same split."""
    for film, other in partners(films, "needles", seed, options.length):
        yield _row(film, other, options, seed)


def _row(film: Film, other: Film | None, options: Needles, seed: int) -> Example | Rejected:
    total = min(options.total, film.duration + options.fewest * options.length)
    most, length, apart = options.most, options.length, options.apart
    if total < most * length + (most + 1) * apart:
        return film.refuse(f"too short for {most} needles: {film.duration:.1f} s")
    if options.needle == "clip" and other is None:
        return film.refuse("nothing to make needles of: no other source in its split")
    rng = film.rng("needles", seed)
    count = int(rng.integers(options.fewest, most + 1))
    host = total - count * length
    begin = float(rng.uniform(0, film.duration - host))
    slack = host - (count + 1) * apart
    places = np.sort(rng.uniform(0, slack, count)) + apart * np.arange(1, count + 1)
    segments: Segments = ()
    at = 0.0
    for place in map(float, places):
        segments += film.show(begin + at, begin + place)
        if options.needle == "black" or other is None:
            segments += (Black(length),)
        else:
            start = float(rng.uniform(0, other.duration - length))
            segments += other.show(start, start + length)
        at = place
    segments += film.show(begin + at, begin + host)
    return film.row(
        "needles",
        Kind.NUMERICAL,
        QUESTION.format(what=_WHAT[options.needle]),
        str(count),
        segments,
        chance=1 / (most - options.fewest + 1),
        needles=[p + i * length for i, p in enumerate(map(float, places))],
    )
