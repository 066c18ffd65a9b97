"""Enter or leave: the same path over the edge, in one direction or the other."""

from __future__ import annotations

import numpy as np

from kinograd.config.synthetic import SyntheticConfig
from kinograd.synthetic.sample import SyntheticSample, ask, pick
from kinograd.synthetic.scene import Sprite
from kinograd.synthetic.sprites import PLACES, QUADRANTS, glide, ramp
from kinograd.synthetic.vocabulary import COLOURS, SHAPES

_ANSWERS = ("enters", "leaves")


def compose(rng: np.random.Generator, config: SyntheticConfig) -> SyntheticSample:
    answer = pick(rng, _ANSWERS)
    place = int(rng.integers(4))
    x, y = QUADRANTS[place]
    outside = (-0.25 if x < 0.5 else 1.25, y)
    phase = ramp(rng, config.frames)
    if answer == "leaves":
        phase = phase[::-1]
    shape, colour = pick(rng, SHAPES), pick(rng, tuple(COLOURS))
    path = glide(outside, (x, y), phase) + rng.uniform(-0.03, 0.03, 2)
    seen = np.ones(config.frames, dtype=bool)
    sprite = Sprite(shape, COLOURS[colour], float(rng.uniform(0.16, 0.2)), path, seen)
    stages = ("nothing", PLACES[place]) if answer == "enters" else (PLACES[place], "nothing")
    return SyntheticSample(
        clips=((sprite,),),
        question=ask(
            rng,
            config,
            f"What does the {shape} do, enters or leaves?",
            f"Is it that the {shape} enters or leaves?",
        ),
        answer=answer,
        rationale=f"{stages[0]} , {stages[1]} . {answer}",
        events=({"shape": shape, "colour": colour, "place": PLACES[place], "does": answer},),
        order_blind_key=(shape, place),
        chance=0.5,
        choices=_ANSWERS,
    )
