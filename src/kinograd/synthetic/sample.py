"""What a family composes: a scene, a question about it, the answer and a working.

Families that need temporal order hold to one rule: draw the bag of events and the
question first, then the answer uniformly among those that some order of the events
gives, then an order uniformly among those that give it. Whoever sees the frames without
their order is then left with a uniform guess among ``1 / chance`` answers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import permutations
from typing import Any

import numpy as np

from kinograd.config.synthetic import TheatreConfig
from kinograd.synthetic.scene import Sprite
from kinograd.types import Kind


@dataclass(frozen=True)
class Play:
    """One composed question and the films it is about.

    Attributes:
        films: what each film shows, back to front. Most families have one.
        question, answer, kind: as in ``Example``.
        working: the rationale that earns the answer: what is seen, then what follows.
        events: ground truth, in temporal order where there is one.
        blind: what remains of the scene when the order of its frames is lost, as far as
            the answer can depend on it; the order-blind observer's evidence.
        chance: accuracy of the best guess from ``blind`` and the question.
        choices: every possible answer, where they are few.
        edit: (film, first frame, end frame) after another, ``None`` for black; empty for
            the whole first film.
    """

    films: tuple[tuple[Sprite, ...], ...]
    question: str
    answer: str
    working: str
    events: tuple[Mapping[str, Any], ...]
    blind: Hashable
    chance: float
    kind: Kind = Kind.FREE_FORM
    choices: tuple[str, ...] = ()
    edit: tuple[tuple[int | None, int, int], ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)


Family = Callable[[np.random.Generator, TheatreConfig], Play]


def pick(rng: np.random.Generator, values: Sequence[str]) -> str:
    """One of the values."""
    return values[int(rng.integers(len(values)))]


def deal(rng: np.random.Generator, values: tuple[str, ...], count: int) -> list[str]:
    """``count`` different values, in random order."""
    return [values[i] for i in rng.permutation(len(values))[:count].tolist()]


def ask(rng: np.random.Generator, config: TheatreConfig, *wordings: str) -> str:
    """The first wording, or any if the recipe paraphrases. Draws once either way."""
    wording = pick(rng, wordings)
    return wording if config.paraphrase else wordings[0]


def number_of_events(rng: np.random.Generator, config: TheatreConfig) -> int:
    return int(rng.integers(config.events[0], config.events[1] + 1))


def choose(
    rng: np.random.Generator, events: Sequence[str], answer_of: Callable[[tuple[str, ...]], str]
) -> tuple[tuple[str, ...], str, int]:
    """An order of the events whose answer is uniform among the reachable ones.

    Returns:
        The order, its answer, and how many answers are reachable.
    """
    reach = _reach(tuple(sorted(events)), answer_of)
    answer = pick(rng, sorted(reach))
    orders = reach[answer]
    return orders[int(rng.integers(len(orders)))], answer, len(reach)


@cache
def _reach(
    bag: tuple[str, ...], answer_of: Callable[[tuple[str, ...]], str]
) -> dict[str, list[tuple[str, ...]]]:
    """Answer to the orders of a bag of events that give it."""
    orders = defaultdict(list)
    for order in sorted(set(permutations(bag))):
        orders[answer_of(order)].append(order)
    return dict(orders)
