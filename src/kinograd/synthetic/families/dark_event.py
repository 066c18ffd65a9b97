"""DarkEventInfer in small: a black segment hides what before and after give away.

After VidBridge-R1 (arXiv 2506.09079): nothing is re-encoded, the row's cut replaces the
segment in which something moves or changes colour by black.
"""

from __future__ import annotations

import numpy as np

from kinograd.config.synthetic import SyntheticConfig
from kinograd.synthetic.families.direction import ROUTES
from kinograd.synthetic.sample import SyntheticSample, ask, pick
from kinograd.synthetic.scene import Sprite
from kinograd.synthetic.sprites import PLACES, QUADRANTS, glide, still
from kinograd.synthetic.vocabulary import COLOURS, DIRECTIONS, SHAPES
from kinograd.types import Kind


def compose(rng: np.random.Generator, config: SyntheticConfig) -> SyntheticSample:
    begin, end = config.frames * 3 // 8, config.frames * 5 // 8
    shape = pick(rng, SHAPES)
    before, after = (tuple(COLOURS)[i] for i in rng.permutation(len(COLOURS))[:2])
    time = np.arange(config.frames)
    half = (begin + end) // 2
    radius = float(rng.uniform(0.17, 0.2))
    if rng.integers(2):
        way = pick(rng, DIRECTIONS)
        a, b = ROUTES[way][int(rng.integers(2))]
        phase = np.clip((time - begin) / (end - begin), 0, 1)
        path = glide(QUADRANTS[a], QUADRANTS[b], phase) + rng.uniform(-0.03, 0.03, 2)
        sprites = (Sprite(shape, COLOURS[before], radius, path, time >= 0),)
        answer, order_blind_key = f"the {shape} moves {way}", (shape, tuple(sorted((a, b))))
        rationale = f"{PLACES[a]} , {PLACES[b]} . {answer}"
    else:
        path = still(rng, config, int(rng.integers(4)))
        sprites = (
            Sprite(shape, COLOURS[before], radius, path, time < half),
            Sprite(shape, COLOURS[after], radius, path, time >= half),
        )
        answer, order_blind_key = (
            f"the {shape} turns {after}",
            (shape, tuple(sorted((before, after)))),
        )
        rationale = f"{before} , {after} . {answer}"
    return SyntheticSample(
        clips=(sprites,),
        question=ask(
            rng, config, "What happens while it is black?", "What does the black part hide?"
        ),
        answer=answer,
        rationale=rationale,
        events=({"frame": half, "does": answer},),
        order_blind_key=order_blind_key,
        chance=0.5,
        kind=Kind.DARK_EVENT,
        edit=((0, 0, begin), (None, begin, end), (0, end, config.frames)),
    )
