"""Direction of an arrow after a series of turns: a state that every flash changes.

Red turns it left, green right, blue around; white exchanges up and left and leaves the
other two. Turns alone commute, and with mirrors the axis would still follow from the bag
of flashes: an observer without order could then tell, or halve the answers. With the
exchange, no bag used here says anything about the answer.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kinograd.config.synthetic import SyntheticConfig
from kinograd.synthetic.sample import SyntheticSample, ask, choose, number_of_events, pick
from kinograd.synthetic.sprites import flashes
from kinograd.synthetic.vocabulary import DIRECTIONS

_STEPS = {"red": 1, "blue": 2, "green": 3}
_EXCHANGE = (1, 0, 2, 3)
_COLOURS = (*_STEPS, "white")
_LEAST = 4  # no three flashes can point the arrow all four ways
RULES = "Red turns it left, green right, blue around, white swaps up and left."


def states(colours: Sequence[str]) -> list[str]:
    """List the directions of the arrow: at the start (up) and after each flash."""
    at, path = 0, [DIRECTIONS[0]]
    for colour in colours:
        at = _EXCHANGE[at] if colour == "white" else (at + _STEPS[colour]) % 4
        path.append(DIRECTIONS[at])
    return path


def _last(colours: Sequence[str]) -> str:
    return states(colours)[-1]


def compose(rng: np.random.Generator, config: SyntheticConfig) -> SyntheticSample:
    while True:
        bag = [pick(rng, _COLOURS) for _ in range(max(_LEAST, number_of_events(rng, config)))]
        colours, answer, reachable = choose(rng, bag, _last)
        if reachable == len(DIRECTIONS):
            break
    path = states(colours)
    steps = " ".join(f"{c} {d}" for c, d in zip(colours, path[1:], strict=True))
    sprites, events = flashes(rng, config, [("triangle", c) for c in colours])
    rules = f" {RULES}" if config.rules else ""
    wording = ask(rng, config, "Where does it point last?", "Where does it end?")
    return SyntheticSample(
        clips=(sprites,),
        question=f"The arrow starts up.{rules} {wording}",
        answer=answer,
        rationale=f"{path[0]} {steps} . last {answer}",
        events=events,
        order_blind_key=tuple(sorted(colours)),
        chance=1 / len(DIRECTIONS),
        choices=DIRECTIONS,
        extra={"states": path, "rules": RULES},
    )
