"""Colour of the first, second, … last of distinct flashes."""

from __future__ import annotations

import numpy as np

from kinograd.config.synthetic import SyntheticConfig
from kinograd.synthetic.sample import SyntheticSample, ask, deal, number_of_events
from kinograd.synthetic.sprites import flashes
from kinograd.synthetic.vocabulary import COLOURS, ORDINALS


def compose(rng: np.random.Generator, config: SyntheticConfig) -> SyntheticSample:
    count = number_of_events(rng, config)
    colours = deal(rng, tuple(COLOURS), count)
    asked = int(rng.integers(count))
    name = "last" if asked == count - 1 else ORDINALS[asked]
    sprites, events = flashes(rng, config, [("circle", c) for c in colours])
    return SyntheticSample(
        clips=(sprites,),
        question=ask(
            rng,
            config,
            f"Which colour comes {name}?",
            f"Which colour is shown {name}?",
            f"What is the colour of the {name} flash?",
        ),
        answer=colours[asked],
        rationale=f"{' '.join(colours)} . {name} {colours[asked]}",
        events=events,
        order_blind_key=tuple(sorted(colours)),
        chance=1 / count,
    )
