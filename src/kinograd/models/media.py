"""What a model takes in: a clip as patches or as plain frames, and a whole prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

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
        source, order: the medium whose temporal patches these are, and in which order.
    """

    type: MediaType
    pixels: Tensor
    grid: tuple[int, int, int]
    seconds_per_grid: float
    times: tuple[float, ...] = ()
    source: Patches | None = None
    order: tuple[int, ...] = ()

    def permuted(self, order: Sequence[int]) -> Patches:
        """The same temporal patches in another order, at the times of the old ones.

        A vision tower never looks across temporal patches, so the features are permuted
        instead of computed again (``PrefixLM.media_features``).
        """
        t = self.grid[0]
        pixels = self.pixels.view(t, -1, self.pixels.shape[1])[list(order)].flatten(0, 1)
        return replace(self, pixels=pixels, source=self, order=tuple(order))


@dataclass(frozen=True, eq=False)
class Frames:
    """One medium for a model whose own processor cuts images up.

    Attributes:
        pixels: uint8 (T, C, H, W), RGB; T = 1 for an image.
    """

    type: MediaType
    pixels: np.ndarray


@dataclass(frozen=True, eq=False)
class Prompt:
    """What the model reads before it answers.

    Attributes:
        input_ids: int64 (P,), with one token per vision feature of each medium.
        positions: int64 (3, P), M-RoPE positions.
        is_media: bool (P,), where vision features replace the token's embedding.
        media: Patches (Frames for replicated rows) in the order of their placeholders.
        inputs: for replicated rows, what the checkpoint's processor made beside the ids.
    """

    input_ids: np.ndarray
    positions: np.ndarray
    is_media: np.ndarray
    media: tuple[Any, ...]
    inputs: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def next_position(self) -> int:
        return int(self.positions.max()) + 1


def to_patches(type: MediaType, clip: Clip, geometry: Geometry) -> Patches:
    """Patches of a clip (already under its view)."""
    pixels, grid = patchify(clip.frames, geometry)
    if type is MediaType.IMAGE:
        return Patches(type, pixels, grid, 0.0, (0.0,))
    t, step = grid[0], geometry.temporal
    shown = np.pad(clip.timestamps, (0, t * step - len(clip.timestamps)), mode="edge")
    times = tuple(float(x) for x in (shown[::step] + shown[step - 1 :: step]) / 2)
    return Patches(type, pixels, grid, step / clip.fps, times)
