"""Three letters in a row, exchanged by flashes: which stands first in the end?

Red exchanges the first two places, blue the last two, green the outer two.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kinograd.config.schema import TheatreConfig
from kinograd.data.theatre.play import Play, choose, flashes

_PLACES = {"red": (0, 1), "blue": (1, 2), "green": (0, 2)}
RULES = "red exchanges places 1 and 2, blue 2 and 3, green 1 and 3"


def states(colours: Sequence[str]) -> list[str]:
    """Arrangements after each flash, the first one included (ABC)."""
    row, path = list("ABC"), ["ABC"]
    for colour in colours:
        i, j = _PLACES[colour]
        row[i], row[j] = row[j], row[i]
        path.append("".join(row))
    return path


def _leader(colours: Sequence[str]) -> str:
    return states(colours)[-1][0]


def compose(rng: np.random.Generator, config: TheatreConfig) -> Play:
    while True:
        count = int(rng.integers(config.events[0], config.events[1] + 1))
        bag = [str(c) for c in rng.choice(list(_PLACES), count)]
        colours, answer, reachable = choose(rng, bag, _leader)
        if reachable == 3:
            break
    path = states(colours)
    steps = " ".join(f"{c} {s}" for c, s in zip(colours, path[1:], strict=True))
    sprites, events = flashes(rng, config, [("square", c) for c in colours])
    return Play(
        sprites=sprites,
        question="ABC swap. Which letter ends first?",
        answer=answer,
        working=f"ABC {steps} . first {answer}",
        events=events,
        blind=tuple(sorted(colours)),
        chance=1 / 3,
        extra={"states": path, "rules": RULES},
    )
