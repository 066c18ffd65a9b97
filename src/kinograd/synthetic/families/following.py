"""What comes next after a given flash."""

from __future__ import annotations

import numpy as np

from kinograd.config.synthetic import TheatreConfig
from kinograd.synthetic.sample import Play, ask, deal, number_of_events
from kinograd.synthetic.sprites import flashes
from kinograd.synthetic.vocabulary import COLOURS


def compose(rng: np.random.Generator, config: TheatreConfig) -> Play:
    count = max(3, number_of_events(rng, config))  # of two, the other one is no question
    colours = deal(rng, tuple(COLOURS), count)
    asked = int(rng.integers(count - 1))
    before, answer = colours[asked], colours[asked + 1]
    sprites, events = flashes(rng, config, [("circle", c) for c in colours])
    return Play(
        films=(sprites,),
        question=ask(
            rng, config, f"Which colour comes next after {before}?", f"What follows {before}?"
        ),
        answer=answer,
        working=f"{' '.join(colours)} . after {before} {answer}",
        events=events,
        blind=tuple(sorted(colours)),
        chance=1 / (count - 1),
    )
