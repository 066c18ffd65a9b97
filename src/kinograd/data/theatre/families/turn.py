"""Where an arrow points after a series of turns: a state that every flash changes.

Red turns it left, green right, blue around; white exchanges up and left and leaves the
other two. Turns alone commute, and a mirror would keep the axis: an observer of the bare
multiset could then tell, or halve the answers. With the exchange no multiset that is
used here says anything about the answer.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kinograd.config.schema import TheatreConfig
from kinograd.data.theatre.play import Play, choose, flashes
from kinograd.data.theatre.vocabulary import DIRECTIONS

_STEPS = {"red": 1, "blue": 2, "green": 3}
RULES = "red turns left, green right, blue around, white exchanges up and left"


def states(colours: Sequence[str]) -> list[str]:
    """Directions after each flash, the first one included (up)."""
    at, path = 0, ["up"]
    for colour in colours:
        at = (1, 0, 2, 3)[at] if colour == "white" else (at + _STEPS[colour]) % 4
        path.append(DIRECTIONS[at])
    return path


def _last(colours: Sequence[str]) -> str:
    return states(colours)[-1]


def compose(rng: np.random.Generator, config: TheatreConfig) -> Play:
    while True:
        count = int(rng.integers(config.events[0], config.events[1] + 1))
        bag = [str(c) for c in rng.choice([*_STEPS, "white"], count)]
        colours, answer, reachable = choose(rng, bag, _last)
        if reachable == len(DIRECTIONS):
            break
    path = states(colours)
    steps = " ".join(f"{c} {d}" for c, d in zip(colours, path[1:], strict=True))
    sprites, events = flashes(rng, config, [("triangle", c) for c in colours])
    return Play(
        sprites=sprites,
        question="The arrow starts up. Where does it point last?",
        answer=answer,
        working=f"up {steps} . last {answer}",
        events=events,
        blind=tuple(sorted(colours)),
        chance=1 / len(DIRECTIONS),
        extra={"states": path, "rules": RULES},
    )
