"""Forwards or backwards: each film once either way, so that its content says nothing.

Backwards is a cut of single frames, last first; nothing is rendered.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from kinograd.curate.proxy.options import Reversed
from kinograd.curate.proxy.source_video import Film, lettered
from kinograd.datasets.rows import Rejected
from kinograd.types import Example, Kind, Span

QUESTION = "Is this clip shown forwards, as it was filmed, or backwards?"
_WAYS = ("forwards", "backwards")


def build(films: Iterable[Film], options: Reversed, seed: int = 0) -> Iterator[Example | Rejected]:
    """Two rows per film, with the same options in the same order."""
    for film in films:
        yield from _pair(film, options, seed)


def _pair(film: Film, options: Reversed, seed: int) -> Iterator[Example | Rejected]:
    if film.duration < options.shortest:
        yield film.refuse(f"too short to tell its direction: {film.duration:.1f} s")
        return
    rng = film.rng("reversed", seed)
    rate = film.line.rate
    frames = int(min(options.total, film.duration) * rate + 1e-6)
    spare = int(film.duration * rate + 1e-6) - frames
    first = int(rng.integers(spare + 1))
    forwards = film.show(first / rate, (first + frames) / rate)
    steps = (film.show(i / rate, (i + 1) / rate) for i in range(first, first + frames))
    backwards = tuple(s for step in reversed(list(steps)) for s in reversed(step))
    if not any(isinstance(s, Span) for s in forwards):
        yield film.refuse("black throughout")
        return
    order = [_WAYS[i] for i in rng.permutation(2)]
    for way, segments in zip(_WAYS, (forwards, backwards), strict=True):
        letter = "AB"[order.index(way)]
        row = film.row(
            "reversed",
            Kind.MULTIPLE_CHOICE,
            QUESTION,
            letter,
            segments,
            lettered(order),
            chance=0.5,
        )
        yield replace(row, id=f"{row.id}-{way}")
