"""Caption: the events as one sentence, graded event by event."""

from __future__ import annotations

import math

import numpy as np

from kinograd.config.synthetic import SyntheticConfig
from kinograd.synthetic.sample import SyntheticSample, ask, deal, number_of_events, pick
from kinograd.synthetic.sprites import flashes
from kinograd.synthetic.vocabulary import COLOURS, SHAPES
from kinograd.types import Kind


def compose(rng: np.random.Generator, config: SyntheticConfig) -> SyntheticSample:
    colours = deal(rng, tuple(COLOURS), number_of_events(rng, config))
    shape = pick(rng, SHAPES)
    sprites, events = flashes(rng, config, [(shape, c) for c in colours])
    caption = " , then ".join(f"a {c} {shape}" for c in colours)
    return SyntheticSample(
        clips=(sprites,),
        question=ask(rng, config, "What happens?", "What is shown, and in which order?"),
        answer=caption,
        rationale=f"{' '.join(colours)} . {caption}",
        events=events,
        order_blind_key=(shape, tuple(sorted(colours))),
        chance=1 / math.factorial(len(colours)),
        kind=Kind.CAPTION,
    )
