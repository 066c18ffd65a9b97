"""Count the flashes before or after the white one."""

from __future__ import annotations

import numpy as np

from kinograd.config.synthetic import SyntheticConfig
from kinograd.synthetic.sample import SyntheticSample, ask, number_of_events, pick
from kinograd.synthetic.sprites import flashes
from kinograd.types import Kind

_OTHERS = ("red", "green", "blue", "purple")


def compose(rng: np.random.Generator, config: SyntheticConfig) -> SyntheticSample:
    count = number_of_events(rng, config)
    colours = [pick(rng, _OTHERS) for _ in range(count)]
    turn = int(rng.integers(count))
    colours[turn] = "white"
    side = pick(rng, ("before", "after"))
    number = turn if side == "before" else count - 1 - turn
    # count aloud on the side that was asked for
    steps = [
        f"{abs(i - turn) if side == 'after' else i + 1} {c}"
        if (i < turn) == (side == "before")
        else c
        for i, c in enumerate(colours)
        if i != turn
    ]
    steps.insert(turn, "white")
    sprites, events = flashes(rng, config, [("circle", c) for c in colours])
    return SyntheticSample(
        clips=(sprites,),
        question=ask(
            rng,
            config,
            f"How many flashes come {side} white?",
            f"How many are shown {side} the white flash?",
        ),
        answer=str(number),
        rationale=f"{' '.join(steps)} . {side} {number}",
        events=events,
        order_blind_key=count,
        chance=1 / count,
        kind=Kind.NUMERICAL,
    )
