"""Colours of distinct flashes by their order: the n-th, the first of two, the next one."""

from __future__ import annotations

import numpy as np

from kinograd.config.synthetic import SyntheticConfig
from kinograd.synthetic.sample import SyntheticSample, ask, deal, number_of_events
from kinograd.synthetic.sprites import flashes
from kinograd.synthetic.vocabulary import COLOURS, ORDINALS


def order(rng: np.random.Generator, config: SyntheticConfig) -> SyntheticSample:
    """Ask for the first, second, … last colour."""
    count = number_of_events(rng, config)
    colours = deal(rng, tuple(COLOURS), count)
    asked = int(rng.integers(count))
    name = "last" if asked == count - 1 else ORDINALS[asked]
    wordings = (
        f"Which colour comes {name}?",
        f"Which colour is shown {name}?",
        f"What is the colour of the {name} flash?",
    )
    rationale = f"{' '.join(colours)} . {name} {colours[asked]}"
    return _sample(rng, config, colours, wordings, colours[asked], rationale, 1 / count)


def first(rng: np.random.Generator, config: SyntheticConfig) -> SyntheticSample:
    """Ask which of two colours among other flashes comes first."""
    colours = deal(rng, tuple(COLOURS), number_of_events(rng, config))
    early, late = sorted(rng.permutation(len(colours))[:2].tolist())
    a, b = deal(rng, (colours[early], colours[late]), 2)
    wordings = (f"Which comes first, {a} or {b}?", f"Is {a} or {b} shown first?")
    rationale = f"{colours[early]} {colours[late]} . first {colours[early]}"
    return _sample(rng, config, colours, wordings, colours[early], rationale, 0.5)


def next_one(rng: np.random.Generator, config: SyntheticConfig) -> SyntheticSample:
    """Ask for the colour of the flash after a given one."""
    count = max(3, number_of_events(rng, config))  # of two, the other one is no question
    colours = deal(rng, tuple(COLOURS), count)
    asked = int(rng.integers(count - 1))
    before, answer = colours[asked], colours[asked + 1]
    wordings = (f"Which colour comes next after {before}?", f"What follows {before}?")
    rationale = f"{' '.join(colours)} . after {before} {answer}"
    return _sample(rng, config, colours, wordings, answer, rationale, 1 / (count - 1))


def _sample(
    rng: np.random.Generator,
    config: SyntheticConfig,
    colours: list[str],
    wordings: tuple[str, ...],
    answer: str,
    rationale: str,
    chance: float,
) -> SyntheticSample:
    sprites, events = flashes(rng, config, [("circle", c) for c in colours])
    return SyntheticSample(
        clips=(sprites,),
        question=ask(rng, config, *wordings),
        answer=answer,
        rationale=rationale,
        events=events,
        order_blind_key=tuple(sorted(colours)),
        chance=chance,
    )
