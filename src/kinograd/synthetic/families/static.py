"""Static controls, the colour, shape and number of objects: nothing moves, so order is no cue."""

from __future__ import annotations

from functools import partial

import numpy as np

from kinograd.config.synthetic import SyntheticConfig
from kinograd.synthetic.sample import SyntheticSample, ask
from kinograd.synthetic.sprites import list_things, still_life
from kinograd.synthetic.vocabulary import SHAPES
from kinograd.types import Kind


def _look(rng: np.random.Generator, config: SyntheticConfig, wanted: str) -> SyntheticSample:
    sprites, events = still_life(rng, config, int(rng.integers(1, 4)))
    thing = events[int(rng.integers(len(events)))]
    shape, colour = thing["shape"], thing["colour"]
    if wanted == "colour":
        named = "shape"
        wordings = (f"What colour is the {shape}?", f"Which colour does the {shape} show?")
    else:
        named = "colour"
        wordings = (f"What shape is the {colour} one?", f"Which shape is {colour}?")
    return SyntheticSample(
        clips=(sprites,),
        question=ask(rng, config, *wordings),
        answer=thing[wanted],
        rationale=f"{list_things(events, named, wanted)} . {thing[named]} {thing[wanted]}",
        events=events,
        order_blind_key=tuple(sorted((e["shape"], e["colour"]) for e in events)),
        chance=1.0,
        choices=SHAPES if wanted == "shape" else (),
    )


colour = partial(_look, wanted="colour")
shape = partial(_look, wanted="shape")


def count(rng: np.random.Generator, config: SyntheticConfig) -> SyntheticSample:
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
