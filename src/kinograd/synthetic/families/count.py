"""Static control, the number of objects."""

from __future__ import annotations

import numpy as np

from kinograd.config.synthetic import SyntheticConfig
from kinograd.synthetic.sample import SyntheticSample, ask
from kinograd.synthetic.sprites import still_life
from kinograd.types import Kind


def compose(rng: np.random.Generator, config: SyntheticConfig) -> SyntheticSample:
    number = int(rng.integers(1, 5))
    sprites, events = still_life(rng, config, number)
    steps = " ".join(f"{e['colour']} {n}" for n, e in enumerate(events, 1))
    return SyntheticSample(
        clips=(sprites,),
        question=ask(rng, config, "How many things are there?", "How many objects are shown?"),
        answer=str(number),
        rationale=f"{steps} . total {number}",
        events=events,
        order_blind_key=number,
        chance=1.0,
        kind=Kind.NUMERICAL,
    )
