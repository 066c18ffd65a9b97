"""Does it get faster or slower on its way across?

Frames of a thing that gets faster to the right are those of one that gets slower to the
left; the way is as likely as the other, so only order tells.
"""

from __future__ import annotations

import numpy as np

from kinograd.config.synthetic import TheatreConfig
from kinograd.synthetic.sample import Play, ask, pick
from kinograd.synthetic.scene import Sprite
from kinograd.synthetic.sprites import glide
from kinograd.synthetic.vocabulary import COLOURS, SHAPES

_ANSWERS = ("faster", "slower")


def compose(rng: np.random.Generator, config: TheatreConfig) -> Play:
    answer = pick(rng, _ANSWERS)
    rightward = bool(rng.integers(2))
    sides = ("left", "right") if rightward else ("right", "left")
    time = np.linspace(0, 1, config.frames)
    phase = time**2.5 if answer == "faster" else 1 - (1 - time) ** 2.5
    y = float(rng.uniform(0.25, 0.75))
    ends = ((0.15, y), (0.85, y)) if rightward else ((0.85, y), (0.15, y))
    shape, colour = pick(rng, SHAPES), pick(rng, tuple(COLOURS))
    seen = np.ones(config.frames, dtype=bool)
    sprite = Sprite(
        shape, COLOURS[colour], float(rng.uniform(0.13, 0.16)), glide(*ends, phase), seen
    )
    middle = sides[0] if answer == "faster" else sides[1]  # where it is at half time
    return Play(
        films=((sprite,),),
        question=ask(
            rng,
            config,
            f"Does the {shape} move faster or slower?",
            "Is it getting faster or slower?",
        ),
        answer=answer,
        working=f"{sides[0]} {middle} {sides[1]} . {answer}",
        events=({"shape": shape, "colour": colour, "to": sides[1], "gets": answer},),
        blind=(rightward == (answer == "faster")),
        chance=0.5,
        choices=_ANSWERS,
    )
