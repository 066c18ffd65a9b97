"""Compositional counting: flashes of one colour before or after another.

In the manner of DVD's compositional counting over CATER scenes (Le et al. 2021,
arXiv 2101.00151): a filter on the look and an interval set by another event.
"""

from __future__ import annotations

import numpy as np

from kinograd.config.synthetic import SyntheticConfig
from kinograd.synthetic.sample import SyntheticSample, ask, number_of_events, pick
from kinograd.synthetic.sprites import flashes
from kinograd.types import Kind

_COUNTED = ("red", "green", "blue")


def compose(rng: np.random.Generator, config: SyntheticConfig) -> SyntheticSample:
    count = max(3, number_of_events(rng, config))
    asked = pick(rng, _COUNTED)
    others = [c for c in _COUNTED if c != asked]
    hits = int(rng.integers(1, count - 1))
    colours = [asked] * hits + [pick(rng, others) for _ in range(count - 1 - hits)]
    colours = [colours[i] for i in rng.permutation(len(colours))]
    # the anchor falls between the counted ones with equal chance, so that each number does
    number = int(rng.integers(hits + 1))
    gaps = [i for i in range(count) if colours[:i].count(asked) == number]
    colours.insert(gaps[int(rng.integers(len(gaps)))], "white")
    side = pick(rng, ("before", "after"))
    total = number if side == "before" else hits - number
    sprites, events = flashes(rng, config, [("circle", c) for c in colours])
    return SyntheticSample(
        clips=(sprites,),
        question=ask(
            rng,
            config,
            f"How many {asked} flashes come {side} white?",
            f"How many times is {asked} shown {side} white?",
        ),
        answer=str(total),
        rationale=f"{' '.join(colours)} . {asked} {side} white {total}",
        events=events,
        order_blind_key=tuple(sorted(colours)),
        chance=1 / (hits + 1),
        kind=Kind.NUMERICAL,
    )
