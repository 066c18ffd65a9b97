"""Static control, the colour of an object: nothing moves, so order cannot matter."""

from __future__ import annotations

import numpy as np

from kinograd.config.synthetic import SyntheticConfig
from kinograd.synthetic.sample import SyntheticSample, ask
from kinograd.synthetic.sprites import list_things, still_life


def compose(rng: np.random.Generator, config: SyntheticConfig) -> SyntheticSample:
    sprites, events = still_life(rng, config, int(rng.integers(1, 4)))
    asked = events[int(rng.integers(len(events)))]
    shape, colour = asked["shape"], asked["colour"]
    return SyntheticSample(
        clips=(sprites,),
        question=ask(
            rng, config, f"What colour is the {shape}?", f"Which colour does the {shape} show?"
        ),
        answer=colour,
        rationale=f"{list_things(events, 'shape', 'colour')} . {shape} {colour}",
        events=events,
        order_blind_key=tuple(sorted((e["shape"], e["colour"]) for e in events)),
        chance=1.0,
    )
