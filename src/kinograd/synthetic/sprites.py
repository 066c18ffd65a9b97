"""Things that families put on the stage: flashes, still things, things that glide."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from kinograd.config.synthetic import TheatreConfig
from kinograd.synthetic.sample import deal
from kinograd.synthetic.scene import Sprite
from kinograd.synthetic.vocabulary import COLOURS, SHAPES

QUADRANTS = ((0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75))
PLACES = ("top left", "top right", "bottom left", "bottom right")
"""Names of the quadrants. At 56 pixels each is exactly one token of the model."""


def flashes(
    rng: np.random.Generator,
    config: TheatreConfig,
    looks: Sequence[tuple[str, str]],
    frames: int | None = None,
) -> tuple[tuple[Sprite, ...], tuple[dict[str, Any], ...]]:
    """(shape, colour) after (shape, colour), each alone in a quadrant.

    Like looks stand in different quadrants as far as four go. That rule, unlike one about
    neighbours in time, holds in any order: places and times say nothing about the order.
    ``frames``: within the first so many.
    """
    length = config.event_frames
    times = np.sort(rng.permutation((frames or config.frames) // length)[: len(looks)]) * length
    sprites, events = [], []
    free: dict[tuple[str, str], list[int]] = defaultdict(list)
    for look, begin in zip(looks, times.tolist(), strict=True):
        shape, colour = look
        free[look] = free[look] or rng.permutation(4).tolist()
        place = free[look].pop()
        seen = np.zeros(config.frames, dtype=bool)
        seen[begin : begin + length] = True
        path = still(rng, config, place)
        sprites.append(Sprite(shape, COLOURS[colour], float(rng.uniform(0.16, 0.2)), path, seen))
        events.append({"frame": begin, "colour": colour, "shape": shape, "place": PLACES[place]})
    return tuple(sprites), tuple(events)


def still(rng: np.random.Generator, config: TheatreConfig, place: int) -> np.ndarray:
    """float (T, 2): a path that stays near the centre of a quadrant."""
    centre = np.array(QUADRANTS[place]) + rng.uniform(-0.03, 0.03, 2)
    return np.broadcast_to(centre, (config.frames, 2))


def still_life(
    rng: np.random.Generator, config: TheatreConfig, count: int
) -> tuple[tuple[Sprite, ...], tuple[dict[str, Any], ...]]:
    """``count`` (at most 4) things of different shapes and colours; events left to right."""
    places = sorted(int(p) for p in rng.permutation(4)[:count])
    shapes, colours = deal(rng, SHAPES, count), deal(rng, tuple(COLOURS), count)
    seen = np.ones(config.frames, dtype=bool)
    sprites, events = [], []
    for place, shape, colour in zip(places, shapes, colours, strict=True):
        path = still(rng, config, place)
        sprites.append(Sprite(shape, COLOURS[colour], float(rng.uniform(0.2, 0.23)), path, seen))
        events.append({"shape": shape, "colour": colour, "place": PLACES[place]})
    return tuple(sprites), tuple(events)


def list_things(events: Sequence[dict[str, Any]], *attributes: str) -> str:
    """A still life in words. What a question names comes first, what it asks for second:
    then the answer follows in the list as it will in the conclusion."""
    return " ".join(str(event[a]) for event in events for a in attributes)


def ramp(rng: np.random.Generator, frames: int) -> np.ndarray:
    """float (T,): 0 for a while, then evenly to 1, and 1 for a while.

    Both rests have the same distribution, so that played backwards it is another ramp.
    """
    rest = frames // 5
    begin, end = int(rng.integers(rest + 1)), frames - 1 - int(rng.integers(rest + 1))
    return np.clip((np.arange(frames) - begin) / (end - begin), 0, 1)


def glide(start: Sequence[float], end: Sequence[float], phase: np.ndarray) -> np.ndarray:
    """float (T, 2): the straight path from ``start`` (phase 0) to ``end`` (phase 1)."""
    a, b = np.asarray(start, dtype=float), np.asarray(end, dtype=float)
    return a + phase[:, None] * (b - a)


def scenery(
    rng: np.random.Generator, config: TheatreConfig
) -> tuple[tuple[Sprite, ...], tuple[Sprite, ...]]:
    """(behind, in front): the recipe's distractors and occluders, which mean nothing."""
    seen = np.ones(config.frames, dtype=bool)
    behind = []
    for _ in range(config.distractors):
        grey, radius = int(rng.integers(60, 130)), float(rng.uniform(0.04, 0.1))
        path = np.broadcast_to(rng.uniform(0.05, 0.95, 2), (config.frames, 2))
        shape = SHAPES[int(rng.integers(len(SHAPES)))]
        behind.append(Sprite(shape, (grey, grey, grey), radius, path, seen))
    front = []
    for _ in range(config.occluders):
        ends = rng.uniform(-0.2, 1.2, 2)
        path = glide((ends[0], 0.5), (ends[1], 0.5), np.linspace(0, 1, config.frames))
        front.append(Sprite("bar", (110, 110, 110), 0.06, path, seen))
    return tuple(behind), tuple(front)
