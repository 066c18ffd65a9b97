"""Tiny models whose every parameter matters, and prompts of random patches for them."""

from __future__ import annotations

import numpy as np
import torch

from kinograd.config.schema import ModelConfig
from kinograd.models.load import VideoLM, load
from kinograd.models.media import Patches
from kinograd.models.prompt import Prompt
from kinograd.types import MediaType


def fresh(folder, **options) -> VideoLM:
    model = load(ModelConfig(path=str(folder), device="cpu", **options))
    with torch.no_grad():  # biases start at zero: make every parameter matter
        gen = torch.Generator().manual_seed(5)
        for p in model.lm.parameters():
            if p.ndim == 1:
                p.add_(0.02 * torch.randn(p.shape, generator=gen, dtype=p.dtype))
    return model


def make_prompt(model: VideoLM, seed: int, grid=(4, 4, 6), text=9, shared: Patches | None = None):
    rng = np.random.default_rng(seed)
    family, g = model.family, model.geometry
    width = 3 * g.temporal * g.patch**2
    patches = shared or Patches(
        MediaType.VIDEO,
        torch.from_numpy(rng.standard_normal((int(np.prod(grid)), width), dtype=np.float32)),
        grid,
        1.0,
        tuple(0.5 + 2 * i for i in range(grid[0])),
    )
    start, video, end = family.vision_start, family.video_token, family.vision_end
    words = rng.integers(300, 400, text).tolist()
    ids = family.expand([*words[:3], start, video, end, *words[3:]], [patches], model.tokenizer)
    return Prompt(ids, family.positions(ids, [patches]), ids == video, (patches,))
