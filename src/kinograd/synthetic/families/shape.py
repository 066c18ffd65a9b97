"""Static control, the shape of the object of a colour."""

from __future__ import annotations

import numpy as np

from kinograd.config.synthetic import SyntheticConfig
from kinograd.synthetic.sample import SyntheticSample, ask
from kinograd.synthetic.sprites import list_things, still_life
from kinograd.synthetic.vocabulary import SHAPES


def compose(rng: np.random.Generator, config: SyntheticConfig) -> SyntheticSample:
    sprites, events = still_life(rng, config, int(rng.integers(1, 4)))
    asked = events[int(rng.integers(len(events)))]
    shape, colour = asked["shape"], asked["colour"]
    return SyntheticSample(
        clips=(sprites,),
        question=ask(rng, config, f"What shape is the {colour} one?", f"Which shape is {colour}?"),
        answer=shape,
        rationale=f"{list_things(events, 'colour', 'shape')} . {colour} {shape}",
        events=events,
        order_blind_key=tuple(sorted((e["shape"], e["colour"]) for e in events)),
        chance=1.0,
        choices=SHAPES,
    )
