"""Direction of a move between neighbouring quadrants, each of which is one token."""

from __future__ import annotations

import numpy as np

from kinograd.config.synthetic import SyntheticConfig
from kinograd.synthetic.sample import SyntheticSample, ask, pick
from kinograd.synthetic.scene import Sprite
from kinograd.synthetic.sprites import PLACES, QUADRANTS, glide, ramp
from kinograd.synthetic.vocabulary import COLOURS, DIRECTIONS, SHAPES

# quadrants are numbered top left, top right, bottom left, bottom right
ROUTES = {
    "up": ((2, 0), (3, 1)),
    "left": ((1, 0), (3, 2)),
    "down": ((0, 2), (1, 3)),
    "right": ((0, 1), (2, 3)),
}


def compose(rng: np.random.Generator, config: SyntheticConfig) -> SyntheticSample:
    answer = pick(rng, DIRECTIONS)
    start, end = ROUTES[answer][int(rng.integers(2))]
    shape, colour = pick(rng, SHAPES), pick(rng, tuple(COLOURS))
    jitter = rng.uniform(-0.03, 0.03, 2)
    path = glide(QUADRANTS[start], QUADRANTS[end], ramp(rng, config.frames)) + jitter
    seen = np.ones(config.frames, dtype=bool)
    sprite = Sprite(shape, COLOURS[colour], float(rng.uniform(0.16, 0.2)), path, seen)
    return SyntheticSample(
        clips=((sprite,),),
        question=ask(
            rng, config, f"Where does the {shape} move?", f"Which way does the {shape} move?"
        ),
        answer=answer,
        rationale=f"{PLACES[start]} , {PLACES[end]} . moves {answer}",
        events=({"shape": shape, "colour": colour, "from": PLACES[start], "to": PLACES[end]},),
        order_blind_key=tuple(sorted((start, end))),
        chance=0.5,
        choices=DIRECTIONS,
    )
