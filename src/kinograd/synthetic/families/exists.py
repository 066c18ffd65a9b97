"""Static control: is there a red square? Half of the time there is."""

from __future__ import annotations

import numpy as np

from kinograd.config.synthetic import TheatreConfig
from kinograd.synthetic.sample import Play, ask, pick
from kinograd.synthetic.sprites import list_things, still_life
from kinograd.synthetic.vocabulary import COLOURS, SHAPES


def compose(rng: np.random.Generator, config: TheatreConfig) -> Play:
    sprites, events = still_life(rng, config, int(rng.integers(1, 4)))
    present = {(e["colour"], e["shape"]) for e in events}
    answer = pick(rng, ("yes", "no"))
    pairs = [(c, s) for c in COLOURS for s in SHAPES if ((c, s) in present) == (answer == "yes")]
    colour, shape = pairs[int(rng.integers(len(pairs)))]
    return Play(
        films=(sprites,),
        question=ask(rng, config, f"Is there a {colour} {shape}?", f"Is a {colour} {shape} shown?"),
        answer=answer,
        working=f"{list_things(events, 'colour', 'shape')} . {answer}",
        events=events,
        blind=(colour, shape) in present,
        chance=1.0,
        choices=("yes", "no"),
    )
