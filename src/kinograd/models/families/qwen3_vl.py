"""Qwen3-VL: timestamps as text before every temporal patch, and DeepStack features.

A video becomes ``<0.5 seconds><|vision_start|>...<|vision_end|>`` per temporal patch, in
place of the template's one triple of start, placeholder and end, as released with the
model. Timestamps are tokenised by themselves, so that they cannot merge with the text
around them (vLLM does the same).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor, stack

from kinograd.models.families.qwen_vl import QwenVL
from kinograd.models.media import Patches


class Qwen3VL(QwenVL):
    """Family of Qwen3-VL."""

    pixel_mean = (0.5, 0.5, 0.5)
    pixel_std = (0.5, 0.5, 0.5)

    def runs(self, patches: Patches) -> list[tuple[int, int, int]]:
        t, h, w = patches.grid
        return [(1, h, w)] * t

    def expand(
        self, input_ids: Sequence[int], media: Sequence[Patches], tokenizer: Any = None
    ) -> np.ndarray:
        remaining = iter(media)
        out: list[int] = []
        ids = iter([*input_ids, -1])
        token = next(ids)
        while token != -1:
            following = next(ids)
            if token == self.image_token:
                out += [token] * self.n_tokens(next(remaining))
            elif token == self.video_token:
                if out and out[-1] == self.vision_start and following == self.vision_end:
                    out.pop()
                    following = next(ids)
                out += self._frames(next(remaining), tokenizer)
            else:
                out.append(token)
            token = following
        return np.array(out, dtype=np.int64)

    def _frames(self, patches: Patches, tokenizer: Any) -> list[int]:
        """Return timestamp, start, placeholders and end for each temporal patch."""
        t = patches.grid[0]
        out: list[int] = []
        for seconds in patches.times:
            out += tokenizer(f"<{seconds:.1f} seconds>", add_special_tokens=False)["input_ids"]
            pads = [self.video_token] * (self.n_tokens(patches) // t)
            out += [self.vision_start, *pads, self.vision_end]
        return out

    @staticmethod
    def features(model: Any, pixels: Tensor, grids: Tensor) -> Sequence[Tensor]:
        output = model.model.get_video_features(pixels, grids, return_dict=True)
        levels = [output.pooler_output, *output.deepstack_features]
        return [stack(medium) for medium in zip(*levels, strict=True)]

    @staticmethod
    def deep_features(is_media: Tensor, levels: Tensor) -> dict[str, Any]:
        return {"visual_pos_masks": is_media, "deepstack_visual_embeds": list(levels)}
