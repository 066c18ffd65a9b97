"""First of three letters in a row after flashes have swapped them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kinograd.config.synthetic import SyntheticConfig
from kinograd.synthetic.sample import SyntheticSample, ask, choose, number_of_events, pick
from kinograd.synthetic.sprites import flashes

_PLACES = {"red": (0, 1), "blue": (1, 2), "green": (0, 2)}
_LEAST = 3  # no two flashes can bring each letter to the front
RULES = "Red swaps the first two, blue the last two, green first and last."


def states(colours: Sequence[str]) -> list[str]:
    """List the row of letters at the start (ABC) and after each flash."""
    row, path = list("ABC"), ["ABC"]
    for colour in colours:
        i, j = _PLACES[colour]
        row[i], row[j] = row[j], row[i]
        path.append("".join(row))
    return path


def _leader(colours: Sequence[str]) -> str:
    return states(colours)[-1][0]


def compose(rng: np.random.Generator, config: SyntheticConfig) -> SyntheticSample:
    while True:
        bag = [pick(rng, tuple(_PLACES)) for _ in range(max(_LEAST, number_of_events(rng, config)))]
        colours, answer, reachable = choose(rng, bag, _leader)
        if reachable == 3:
            break
    path = states(colours)
    steps = " ".join(f"{c} {s}" for c, s in zip(colours, path[1:], strict=True))
    sprites, events = flashes(rng, config, [("square", c) for c in colours])
    rules = f" {RULES}" if config.rules else ""
    wording = ask(rng, config, "Which letter ends first?", "Which letter is first at the end?")
    return SyntheticSample(
        clips=(sprites,),
        question=f"ABC swap.{rules} {wording}",
        answer=answer,
        rationale=f"ABC {steps} . first {answer}",
        events=events,
        order_blind_key=tuple(sorted(colours)),
        chance=1 / 3,
        extra={"states": path, "rules": RULES},
    )
