"""What a family composes: a scene, a question about it, the answer and a working.

Families that need temporal order hold to one rule: draw the multiset of events and the
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

from kinograd.config.schema import TheatreConfig
from kinograd.data.theatre.scene import Sprite
from kinograd.data.theatre.vocabulary import COLOURS
from kinograd.types import Kind


@dataclass(frozen=True)
class Play:
    """One composed clip and question.

    Attributes:
        sprites: what is drawn, back to front.
        question, answer, options, kind: as in ``Example``.
        working: the rationale that earns the answer, what is seen first.
        events: ground truth in temporal order.
        blind: what remains of the scene when the order of its frames is lost, as far as
            the answer can depend on it; the order-blind observer's evidence.
        chance: accuracy of the best guess from ``blind`` and the question.
    """

    sprites: tuple[Sprite, ...]
    question: str
    answer: str
    working: str
    events: tuple[Mapping[str, Any], ...]
    blind: Hashable
    chance: float
    kind: Kind = Kind.FREE_FORM
    options: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)


Family = Callable[[np.random.Generator, TheatreConfig], Play]

FLASH_FRAMES = 2  # one temporal patch of Qwen2-VL and its successors
QUADRANTS = ((0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75))


def flashes(
    rng: np.random.Generator, config: TheatreConfig, looks: Sequence[tuple[str, str]]
) -> tuple[tuple[Sprite, ...], tuple[dict[str, Any], ...]]:
    """(shape, colour) after (shape, colour), each for one temporal patch in another quadrant.

    Times and places say nothing about the looks.
    """
    slots = np.sort(rng.choice(config.frames // FLASH_FRAMES, len(looks), replace=False))
    sprites, events = [], []
    quadrant = -1
    for (shape, colour), slot in zip(looks, slots, strict=True):
        quadrant = int(rng.choice([q for q in range(4) if q != quadrant]))
        begin = int(slot) * FLASH_FRAMES
        seen = np.zeros(config.frames, dtype=bool)
        seen[begin : begin + FLASH_FRAMES] = True
        centre = np.array(QUADRANTS[quadrant]) + rng.uniform(-0.04, 0.04, 2)
        path = np.broadcast_to(centre, (config.frames, 2))
        sprites.append(Sprite(shape, COLOURS[colour], float(rng.uniform(0.16, 0.2)), path, seen))
        events.append({"frame": begin, "colour": colour, "shape": shape, "quadrant": quadrant})
    return tuple(sprites), tuple(events)


def choose(
    rng: np.random.Generator, events: Sequence[str], answer_of: Callable[[tuple[str, ...]], str]
) -> tuple[tuple[str, ...], str, int]:
    """An order of the events whose answer is uniform among the reachable ones.

    Returns:
        The order, its answer, and how many answers are reachable.
    """
    reach = _reach(tuple(sorted(events)), answer_of)
    answer = str(rng.choice(sorted(reach)))
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
