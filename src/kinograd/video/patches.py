"""Flat patches of frames for the Qwen vision towers, without torchvision.

Equal to the last bit to ``Qwen2VLVideoProcessor``, ``Qwen3VLVideoProcessor`` and their
image counterparts (transformers 5.19) when those start from frames of the same size.

Shape legend: T frames, C = 3 channels, H height, W width, N patches = T/temporal x
H/patch x W/patch, D = C x temporal x patch x patch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch


@dataclass(frozen=True)
class Geometry:
    """Geometry of a vision tower's patches: sizes in pixels and frames, channel statistics.

    Attributes:
        patch: pixels per side of a patch (14; Qwen3-VL 16).
        merge: patches per side merged into one token.
        temporal: frames folded into one patch.
        mean, std: per-channel statistics on the 0..1 scale.
    """

    patch: int
    merge: int
    temporal: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def size_factor(self) -> int:
        """Return the number that frame sides must be multiples of."""
        return self.patch * self.merge

    def grid(self, frames: int, height: int, width: int) -> tuple[int, int, int]:
        """Return (t, h, w) in patches of a clip of that shape."""
        return -(-frames // self.temporal), height // self.patch, width // self.patch

    def tokens(self, frames: int, height: int, width: int) -> int:
        """Return the language-model tokens of a clip of that shape."""
        t, h, w = self.grid(frames, height, width)
        return t * h * w // self.merge**2


def patchify(frames: Any, geometry: Geometry) -> tuple[torch.Tensor, tuple[int, int, int]]:
    """Return patches float32 (N, D) of uint8 frames (T, C, H, W), and the grid (t, h, w).

    A clip whose length is not a multiple of ``temporal`` repeats its last frame; an image
    is T = 1. Normalisation is (x - 255 mean) / (255 std), rounded as the processors do.

    Raises:
        ValueError: if H or W is not a multiple of patch x merge.
    """
    pixels = torch.from_numpy(np.require(frames, requirements="W"))
    t, c, h, w = pixels.shape
    g, grid = geometry, geometry.grid(t, h, w)
    if h % g.size_factor or w % g.size_factor:
        raise ValueError(f"frames of {h}x{w} are not on the grid of {g.size_factor} pixels")
    if missing := -t % g.temporal:
        pixels = torch.cat([pixels, pixels[-1:].expand(missing, -1, -1, -1)])
    gt, gh, gw = grid
    m, p = g.merge, g.patch
    # (gt, temporal, C, gh/m, m, p, gw/m, m, p) -> (gt, gh/m, gw/m, m, m, C, temporal, p, p)
    tiles = pixels.reshape(gt, g.temporal, c, gh // m, m, p, gw // m, m, p)
    tiles = tiles.permute(0, 3, 6, 4, 7, 2, 1, 5, 8)
    out = torch.empty(gt * gh * gw, c * g.temporal * p**2)
    view = out.view(tiles.shape)
    view.copy_(tiles)
    # 1 / (1/255), not 255: the processors fold the rescale factor into mean and std so
    scale = 1.0 / (1 / 255)
    mean = (torch.tensor(g.mean) * scale).view(c, 1, 1, 1)
    std = (torch.tensor(g.std) * scale).view(c, 1, 1, 1)
    view.sub_(mean).div_(std)
    return out, grid
