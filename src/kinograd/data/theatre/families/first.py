"""Which of two colours comes first, among other flashes."""

from __future__ import annotations

import numpy as np

from kinograd.config.theatre import TheatreConfig
from kinograd.data.theatre.play import Play, ask, deal, number_of_events
from kinograd.data.theatre.props import flashes
from kinograd.data.theatre.vocabulary import COLOURS


def compose(rng: np.random.Generator, config: TheatreConfig) -> Play:
    colours = deal(rng, tuple(COLOURS), number_of_events(rng, config))
    early, late = sorted(rng.permutation(len(colours))[:2].tolist())
    a, b = deal(rng, (colours[early], colours[late]), 2)
    sprites, events = flashes(rng, config, [("circle", c) for c in colours])
    return Play(
        films=(sprites,),
        question=ask(rng, config, f"Which comes first, {a} or {b}?", f"Is {a} or {b} shown first?"),
        answer=colours[early],
        working=f"{colours[early]} {colours[late]} . first {colours[early]}",
        events=events,
        blind=tuple(sorted(colours)),
        chance=0.5,
    )
