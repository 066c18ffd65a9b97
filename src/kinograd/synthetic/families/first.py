"""Order of two colours among other flashes."""

from __future__ import annotations

import numpy as np

from kinograd.config.synthetic import SyntheticConfig
from kinograd.synthetic.sample import SyntheticSample, ask, deal, number_of_events
from kinograd.synthetic.sprites import flashes
from kinograd.synthetic.vocabulary import COLOURS


def compose(rng: np.random.Generator, config: SyntheticConfig) -> SyntheticSample:
    colours = deal(rng, tuple(COLOURS), number_of_events(rng, config))
    early, late = sorted(rng.permutation(len(colours))[:2].tolist())
    a, b = deal(rng, (colours[early], colours[late]), 2)
    sprites, events = flashes(rng, config, [("circle", c) for c in colours])
    return SyntheticSample(
        clips=(sprites,),
        question=ask(rng, config, f"Which comes first, {a} or {b}?", f"Is {a} or {b} shown first?"),
        answer=colours[early],
        rationale=f"{colours[early]} {colours[late]} . first {colours[early]}",
        events=events,
        order_blind_key=tuple(sorted(colours)),
        chance=0.5,
    )
