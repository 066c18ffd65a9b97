"""Clips as a model takes them in: patches, with the time that one temporal patch spans."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from kinograd.types import Clip, MediaType
from kinograd.video.patches import Geometry, patchify


@dataclass(frozen=True, eq=False)
class Patches:
    """Normalised patches of one medium under one view.

    Compared by identity: prompts about the same clip share one instance, and with it
    one pass of the vision tower.

    Attributes:
        pixels: float32 (n, C * temporal * patch * patch).
        grid: (t, h, w) in patches.
        seconds_per_grid: seconds between temporal patches (0 for an image).
        times: seconds of each temporal patch, the mean of its first and last frame.
    """

    type: MediaType
    pixels: Tensor
    grid: tuple[int, int, int]
    seconds_per_grid: float
    times: tuple[float, ...] = ()


def to_patches(type: MediaType, clip: Clip, geometry: Geometry) -> Patches:
    """Patches of a clip (already under its view)."""
    pixels, grid = patchify(clip.frames, geometry)
    if type is MediaType.IMAGE:
        return Patches(type, pixels, grid, 0.0, (0.0,))
    t, step = grid[0], geometry.temporal
    shown = np.pad(clip.timestamps, (0, t * step - len(clip.timestamps)), mode="edge")
    times = tuple(float(x) for x in (shown[::step] + shown[step - 1 :: step]) / 2)
    return Patches(type, pixels, grid, step / clip.fps, times)
