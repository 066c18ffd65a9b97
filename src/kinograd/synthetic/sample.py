"""Samples that families compose: clips, a question about them, its answer, a rationale.

Families that need temporal order draw the bag of events and the question first, then the answer
uniformly among those that some order of the events gives, then an order uniformly among those
that give it. Without the order of frames, a guess is right with probability ``chance``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import permutations
from typing import Any

import numpy as np

from kinograd.config.synthetic import SyntheticConfig
from kinograd.synthetic.scene import Sprite
from kinograd.types import Kind


@dataclass(frozen=True)
class SyntheticSample:
    """One composed question and the clips that it is about.

    Attributes:
        clips: sprites of each clip, back to front. Most families have one clip.
        question, answer, kind: as in ``Example``.
        rationale: observations, then the conclusion; it ends in the answer.
        events: ground truth, in temporal order where there is one.
        order_blind_key: evidence of an observer who sees every frame but not their order.
        chance: accuracy of the best guess from ``order_blind_key`` and the question.
        choices: every possible answer, where they are few.
        edit: segments (clip, first frame, end frame), clip None for black; empty: the
            first clip uncut.
    """

    clips: tuple[tuple[Sprite, ...], ...]
    question: str
    answer: str
    rationale: str
    events: tuple[Mapping[str, Any], ...]
    order_blind_key: Hashable
    chance: float
    kind: Kind = Kind.FREE_FORM
    choices: tuple[str, ...] = ()
    edit: tuple[tuple[int | None, int, int], ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)


Family = Callable[[np.random.Generator, SyntheticConfig], SyntheticSample]


def pick(rng: np.random.Generator, values: Sequence[str]) -> str:
    """Draw one of the values."""
    return values[int(rng.integers(len(values)))]


def deal(rng: np.random.Generator, values: tuple[str, ...], count: int) -> list[str]:
    """Draw ``count`` different values in random order."""
    return [values[i] for i in rng.permutation(len(values))[:count].tolist()]


def ask(rng: np.random.Generator, config: SyntheticConfig, *wordings: str) -> str:
    """Choose the first wording, or any if the recipe paraphrases.

    It draws once either way, so that paraphrasing changes nothing else.
    """
    wording = pick(rng, wordings)
    return wording if config.paraphrase else wordings[0]


def number_of_events(rng: np.random.Generator, config: SyntheticConfig) -> int:
    return int(rng.integers(config.events[0], config.events[1] + 1))


def choose(
    rng: np.random.Generator, events: Sequence[str], answer_of: Callable[[tuple[str, ...]], str]
) -> tuple[tuple[str, ...], str, int]:
    """Draw an order of the events whose answer is uniform among the reachable ones.

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
    """Map each reachable answer to the orders of a bag of events that give it."""
    orders = defaultdict(list)
    for order in sorted(set(permutations(bag))):
        orders[answer_of(order)].append(order)
    return dict(orders)
