"""Static control: what shape is the red one?"""

from __future__ import annotations

import numpy as np

from kinograd.config.synthetic import TheatreConfig
from kinograd.synthetic.sample import Play, ask
from kinograd.synthetic.sprites import list_things, still_life
from kinograd.synthetic.vocabulary import SHAPES


def compose(rng: np.random.Generator, config: TheatreConfig) -> Play:
    sprites, events = still_life(rng, config, int(rng.integers(1, 4)))
    asked = events[int(rng.integers(len(events)))]
    shape, colour = asked["shape"], asked["colour"]
    return Play(
        films=(sprites,),
        question=ask(rng, config, f"What shape is the {colour} one?", f"Which shape is {colour}?"),
        answer=shape,
        working=f"{list_things(events, 'colour', 'shape')} . {colour} {shape}",
        events=events,
        blind=tuple(sorted((e["shape"], e["colour"]) for e in events)),
        chance=1.0,
        choices=SHAPES,
    )
