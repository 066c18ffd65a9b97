"""Scenes as data and their rasteriser: shapes on paths over a gradient, numpy only.

Coordinates are fractions of the frame, x to the right and y down. Shapes are drawn from
their signed distances, one pixel of anti-aliasing, inside their bounding box only.

Shape legend: T frames, H height, W width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np


@dataclass(frozen=True, eq=False)
class Sprite:
    """One object with its path through a clip.

    Attributes:
        shape: a name in ``OUTLINES``.
        rgb: colour, 0..255.
        radius: half its size, as a fraction of the frame.
        path: float (T, 2), centre at each frame.
        seen: bool (T,), whether it is drawn.
    """

    shape: str
    rgb: tuple[int, int, int]
    radius: float
    path: np.ndarray
    seen: np.ndarray


def _circle(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.hypot(x, y) - 1


def _square(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.maximum(abs(x), abs(y)) - 0.9


def _triangle(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.maximum(0.894 * abs(x) - 0.447 * (y + 1), y - 0.8)


def _cross(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    x, y = abs(x), abs(y)
    return np.maximum(np.maximum(x, y) - 1, np.minimum(x, y) - 0.33)


def _bar(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return abs(x) - 1 + 0 * y


OUTLINES = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "cross": _cross,
    "bar": _bar,  # as high as the frame
}
"""Signed distance, in radii, to each outline; negative inside."""


@lru_cache(maxsize=8)
def background(size: int) -> np.ndarray:
    """Make the backdrop, red to the right and green downwards: float32 (H, W, 3)."""
    # Constant over clips, so that a patch shows where it is in the frame: without this cue a
    # small vision tower does not learn positions.
    ramp = np.linspace(10, 90, size, dtype=np.float32)
    image = np.full((size, size, 3), 40, dtype=np.float32)
    image[..., 0] = ramp[None, :]
    image[..., 1] = ramp[:, None]
    image.setflags(write=False)
    return image


def draw(
    sprites: Sequence[Sprite],
    frames: int,
    size: int,
    rng: np.random.Generator,
    texture: float = 0.0,
    noise: float = 0.0,
) -> np.ndarray:
    """Rasterise a scene, later sprites over earlier ones: uint8 (T, H, W, 3).

    Args:
        texture: amplitude of a still random pattern, as coarse as the objects.
        noise: standard deviation of independent pixel noise.
    """
    backdrop = background(size)
    if texture:
        coarse = rng.uniform(-texture, texture, (8, 8, 3)).astype(np.float32)
        cells = np.arange(size) * len(coarse) // size
        backdrop = backdrop + coarse[cells][:, cells]
    clip = np.empty((frames, size, size, 3), dtype=np.uint8)
    previous: list[tuple[int, bytes]] | None = None
    for t in range(frames):
        state = [(i, s.path[t].tobytes()) for i, s in enumerate(sprites) if s.seen[t]]
        if state == previous:  # a still stretch is drawn once
            clip[t] = clip[t - 1]
            continue
        previous = state
        image = backdrop.copy()
        for i, _ in state:
            _paint(image, sprites[i], t)
        clip[t] = np.clip(image + 0.5, 0, 255)
    if noise:
        grain = rng.normal(0, noise, clip.shape).astype(np.float32)
        clip = np.clip(clip + grain + 0.5, 0, 255).astype(np.uint8)
    return clip


def _paint(image: np.ndarray, sprite: Sprite, t: int) -> None:
    size = len(image)
    x, y = (float(v) * size for v in sprite.path[t])
    radius = sprite.radius * size
    reach = radius * 1.1 + 1
    left, right = max(0, int(x - reach)), min(size, int(x + reach) + 1)
    top, bottom = max(0, int(y - reach)), min(size, int(y + reach) + 1)
    if sprite.shape == "bar":
        top, bottom = 0, size
    if left >= right or top >= bottom:
        return
    xs = (np.arange(left, right, dtype=np.float32) + 0.5 - x)[None, :] / radius
    ys = (np.arange(top, bottom, dtype=np.float32) + 0.5 - y)[:, None] / radius
    cover = np.clip(0.5 - OUTLINES[sprite.shape](xs, ys) * radius, 0, 1)[..., None]
    box = image[top:bottom, left:right]
    box += cover * (np.asarray(sprite.rgb, dtype=np.float32) - box)
