"""Colour of the flash after a given one."""

from __future__ import annotations

import numpy as np

from kinograd.config.synthetic import SyntheticConfig
from kinograd.synthetic.sample import SyntheticSample, ask, deal, number_of_events
from kinograd.synthetic.sprites import flashes
from kinograd.synthetic.vocabulary import COLOURS


def compose(rng: np.random.Generator, config: SyntheticConfig) -> SyntheticSample:
    count = max(3, number_of_events(rng, config))  # of two, the other one is no question
    colours = deal(rng, tuple(COLOURS), count)
    asked = int(rng.integers(count - 1))
    before, answer = colours[asked], colours[asked + 1]
    sprites, events = flashes(rng, config, [("circle", c) for c in colours])
    return SyntheticSample(
        clips=(sprites,),
        question=ask(
            rng, config, f"Which colour comes next after {before}?", f"What follows {before}?"
        ),
        answer=answer,
        rationale=f"{' '.join(colours)} . after {before} {answer}",
        events=events,
        order_blind_key=tuple(sorted(colours)),
        chance=1 / (count - 1),
    )
