"""Sprites that families compose: flashes, still objects, gliding objects, distractors."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from kinograd.config.synthetic import SyntheticConfig
from kinograd.synthetic.sample import deal
from kinograd.synthetic.scene import Sprite
from kinograd.synthetic.vocabulary import COLOURS, SHAPES

QUADRANTS = ((0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75))
PLACES = ("top left", "top right", "bottom left", "bottom right")
"""Names of the quadrants. At 56 pixels each is exactly one token of the model."""


def flashes(
    rng: np.random.Generator,
    config: SyntheticConfig,
    looks: Sequence[tuple[str, str]],
    frames: int | None = None,
) -> tuple[tuple[Sprite, ...], tuple[dict[str, Any], ...]]:
    """Make one flash per (shape, colour), in this order, each in a quadrant; and its event.

    Equal looks get different quadrants, up to four. Unlike a rule about neighbours in time,
    this one holds in any order: places and times reveal nothing about the order.

    Args:
        frames: flashes fall within the first ``frames`` frames; default all.
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


def still(rng: np.random.Generator, config: SyntheticConfig, place: int) -> np.ndarray:
    """Make a path that stays near the centre of a quadrant: float (T, 2)."""
    centre = np.array(QUADRANTS[place]) + rng.uniform(-0.03, 0.03, 2)
    return np.broadcast_to(centre, (config.frames, 2))


def still_life(
    rng: np.random.Generator, config: SyntheticConfig, count: int
) -> tuple[tuple[Sprite, ...], tuple[dict[str, Any], ...]]:
    """Make ``count`` (at most 4) objects of different shapes and colours; and their events."""
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
    """Describe a still life in words, the given attributes of each object in turn."""
    # Name the questioned attribute before the asked one: the list then reads as the conclusion.
    return " ".join(str(event[a]) for event in events for a in attributes)


def ramp(rng: np.random.Generator, frames: int) -> np.ndarray:
    """Draw a phase that rests at 0, rises evenly to 1 and rests there: float (T,).

    Both rests have the same distribution, so that a reversed ramp is another ramp.
    """
    rest = frames // 5
    begin, end = int(rng.integers(rest + 1)), frames - 1 - int(rng.integers(rest + 1))
    return np.clip((np.arange(frames) - begin) / (end - begin), 0, 1)


def glide(start: Sequence[float], end: Sequence[float], phase: np.ndarray) -> np.ndarray:
    """Make the straight path from ``start`` (phase 0) to ``end`` (phase 1): float (T, 2)."""
    a, b = np.asarray(start, dtype=float), np.asarray(end, dtype=float)
    return a + phase[:, None] * (b - a)


def distractors(
    rng: np.random.Generator, config: SyntheticConfig
) -> tuple[tuple[Sprite, ...], tuple[Sprite, ...]]:
    """Draw distractors (behind the scene) and occluders (in front); no question is about them."""
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
