"""Static control: what colour is the ...? Nothing changes, so order cannot matter."""

from __future__ import annotations

import numpy as np

from kinograd.config.schema import TheatreConfig
from kinograd.data.theatre.play import QUADRANTS, Play
from kinograd.data.theatre.scene import Sprite
from kinograd.data.theatre.vocabulary import COLOURS, SHAPES


def compose(rng: np.random.Generator, config: TheatreConfig) -> Play:
    count = int(rng.integers(1, 4))
    colours = [str(c) for c in rng.choice(list(COLOURS), count, replace=False)]
    shapes = [str(s) for s in rng.choice(SHAPES, count, replace=False)]
    places = sorted(rng.choice(len(QUADRANTS), count, replace=False))
    seen = np.ones(config.frames, dtype=bool)
    sprites = []
    for shape, colour, place in zip(shapes, colours, places, strict=True):
        centre = np.array(QUADRANTS[place]) + rng.uniform(-0.02, 0.02, 2)
        path = np.broadcast_to(centre, (config.frames, 2))
        sprites.append(Sprite(shape, COLOURS[colour], float(rng.uniform(0.2, 0.23)), path, seen))
    asked = int(rng.integers(count))
    seen_ = " ".join(f"{s} {c}" for s, c in zip(shapes, colours, strict=True))
    return Play(
        sprites=tuple(sprites),
        question=f"What colour is the {shapes[asked]}?",
        answer=colours[asked],
        working=f"{seen_} . {shapes[asked]} {colours[asked]}",
        events=tuple({"shape": s, "colour": c} for s, c in zip(shapes, colours, strict=True)),
        blind=tuple(sorted(zip(shapes, colours, strict=True))),
        chance=1.0,
    )
