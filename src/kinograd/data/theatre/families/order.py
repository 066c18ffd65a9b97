"""Which colour comes first, second, ... last: distinct flashes, one after another."""

from __future__ import annotations

import numpy as np

from kinograd.config.schema import TheatreConfig
from kinograd.data.theatre.play import Play, flashes
from kinograd.data.theatre.vocabulary import COLOURS, ORDINALS


def compose(rng: np.random.Generator, config: TheatreConfig) -> Play:
    count = int(rng.integers(config.events[0], config.events[1] + 1))
    colours = [str(c) for c in rng.choice(list(COLOURS), count, replace=False)]
    asked = int(rng.integers(count))
    name = "last" if asked == count - 1 else ORDINALS[asked]
    sprites, events = flashes(rng, config, [("circle", c) for c in colours])
    return Play(
        sprites=sprites,
        question=f"Which colour comes {name}?",
        answer=colours[asked],
        working=f"{' '.join(colours)} . {name} {colours[asked]}",
        events=events,
        blind=tuple(sorted(colours)),
        chance=1 / count,
    )
