"""Which of two colours comes first, among other flashes."""

from __future__ import annotations

import numpy as np

from kinograd.config.schema import TheatreConfig
from kinograd.data.theatre.play import Play, flashes
from kinograd.data.theatre.vocabulary import COLOURS


def compose(rng: np.random.Generator, config: TheatreConfig) -> Play:
    count = int(rng.integers(config.events[0], config.events[1] + 1))
    colours = [str(c) for c in rng.choice(list(COLOURS), count, replace=False)]
    early, late = sorted(rng.choice(count, 2, replace=False))
    a, b = rng.permutation([colours[early], colours[late]])
    sprites, events = flashes(rng, config, [("circle", c) for c in colours])
    return Play(
        sprites=sprites,
        question=f"Which comes first, {a} or {b}?",
        answer=colours[early],
        working=f"{colours[early]} {colours[late]} . first {colours[early]}",
        events=events,
        blind=tuple(sorted(colours)),
        chance=0.5,
    )
