"""Shell game: a ball goes under one of three equal cups, and cups change places."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

from kinograd.config.synthetic import SyntheticConfig
from kinograd.synthetic.sample import SyntheticSample, ask, choose, pick
from kinograd.synthetic.scene import Sprite
from kinograd.synthetic.vocabulary import COLOURS

_PLACES = ("left", "centre", "right")
_X = (0.18, 0.5, 0.82)
_SWAPS = ("01", "12", "02")
_SWAP_FRAMES = 4
_SHOW_FRAMES = 2


def states(start: int, swaps: Sequence[str]) -> list[str]:
    """List the place of the ball at the start and after each swap."""
    at, path = start, [_PLACES[start]]
    for swap in swaps:
        i, j = int(swap[0]), int(swap[1])
        at = {i: j, j: i}.get(at, at)
        path.append(_PLACES[at])
    return path


@cache
def _last(start: int):
    return lambda swaps: states(start, swaps)[-1]


def compose(rng: np.random.Generator, config: SyntheticConfig) -> SyntheticSample:
    most = (config.frames - _SHOW_FRAMES) // _SWAP_FRAMES
    count = min(most, max(3, int(rng.integers(config.events[0], config.events[1] + 1))))
    while True:
        start = int(rng.integers(3))
        swaps, answer, reachable = choose(
            rng, [pick(rng, _SWAPS) for _ in range(count)], _last(start)
        )
        if reachable == 3:
            break
    path = states(start, swaps)
    events = [
        {"frame": _SHOW_FRAMES + n * _SWAP_FRAMES, "cups": [_PLACES[int(c)] for c in swap]}
        for n, swap in enumerate(swaps)
    ]
    return SyntheticSample(
        clips=(_sprites(rng, config, start, swaps),),
        question=ask(
            rng, config, "A cup hides the ball. Where is the ball last?", "Where does the ball end?"
        ),
        answer=answer,
        rationale=f"{' '.join(path)} . last {answer}",
        events=tuple(events),
        order_blind_key=(start, tuple(sorted(swaps))),
        chance=1 / 3,
        choices=_PLACES,
        extra={"states": path},
    )


def _sprites(
    rng: np.random.Generator, config: SyntheticConfig, start: int, swaps: Sequence[str]
) -> tuple[Sprite, ...]:
    seen = np.ones(config.frames, dtype=bool)
    shown = np.arange(config.frames) < _SHOW_FRAMES
    table, radius = float(rng.uniform(0.55, 0.65)), float(rng.uniform(0.11, 0.13))
    paths = [np.tile([x, table], (config.frames, 1)) for x in _X]
    phase = np.arange(1, _SWAP_FRAMES + 1) / _SWAP_FRAMES
    for n, swap in enumerate(swaps):
        begin = _SHOW_FRAMES + n * _SWAP_FRAMES
        span = slice(begin, begin + _SWAP_FRAMES)
        # at rest the cups look the same, so each swap may move those drawn at the two places
        for a, b, arc in ((swap[0], swap[1], -0.22), (swap[1], swap[0], 0.22)):
            x0, x1 = _X[int(a)], _X[int(b)]
            paths[int(a)][span, 0] = x0 + (x1 - x0) * phase
            paths[int(a)][span, 1] = table + arc * np.sin(np.pi * phase)
    ball = np.broadcast_to([_X[start], table - 0.35], (config.frames, 2))
    cups = [Sprite("square", (150, 110, 70), radius, path, seen) for path in paths]
    return (*cups, Sprite("circle", COLOURS["yellow"], 0.1, ball, shown))
