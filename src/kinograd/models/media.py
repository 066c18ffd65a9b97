"""Inputs of models: a clip as patches or as plain frames, and an encoded prompt."""

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
        pixels: float32 (n, ...), in the order of the grid; for Qwen
            (t * h * w, C * temporal * patch * patch).
        grid: (t, h, w) in patches; each of the t steps gives equally many features.
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
        """Reorder the temporal patches and keep their times; returns new Patches.

        A vision tower never looks across temporal patches, so the features are permuted
        instead of computed again (``PrefixLM.media_features``).
        """
        t = self.grid[0]
        pixels = self.pixels.unflatten(0, (t, -1))[list(order)].flatten(0, 1)
        return replace(self, pixels=pixels, source=self, order=tuple(order))


@dataclass(frozen=True, eq=False)
class Frames:
    """One medium for a model whose own processor cuts images up.

    Attributes:
        pixels: uint8 (T, C, H, W), RGB; T = 1 for an image.
    """

    type: MediaType
    pixels: np.ndarray


Medium = Patches | Frames


@dataclass(frozen=True, eq=False)
class Prompt:
    """Everything that the model reads before it answers.

    Attributes:
        input_ids: int64 (P,), with one token per vision feature of each medium.
        positions: int64 (..., P); the leading axes belong to the family (M-RoPE has three).
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
        """Position of the first token of a completion."""
        return int(self.positions.max()) + 1


def to_patches(type: MediaType, clip: Clip, geometry: Geometry) -> Patches:
    """Cut a clip, already under its view, into Patches."""
    pixels, grid = patchify(clip.frames, geometry)
    if type is MediaType.IMAGE:
        return Patches(type, pixels, grid, 0.0, (0.0,))
    t, step = grid[0], geometry.temporal
    shown = np.pad(clip.timestamps, (0, t * step - len(clip.timestamps)), mode="edge")
    times = tuple(float(x) for x in (shown[::step] + shown[step - 1 :: step]) / 2)
    return Patches(type, pixels, grid, step / clip.fps, times)
