"""Qwen2-VL and Qwen2.5-VL: one placeholder token per merged patch, M-RoPE positions.

Positions follow the published rule (and vLLM's): after a medium, text continues from the
largest position used so far on any axis, plus one. Recent transformers releases
restart text at the medium's spatial extent instead, which lets text and long videos
share temporal positions and disagrees with their own ``generate``; see docs/adr.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kinograd.models.media import Patches, Prompt, to_patches
from kinograd.models.template import render_prompt
from kinograd.types import Clip, MediaType, UsageError
from kinograd.video.patches import Geometry


class QwenVL:
    """Family of Qwen2-VL; ``model`` is the transformers model with its head."""

    pixel_mean: tuple[float, ...] = (0.48145466, 0.4578275, 0.40821073)  # CLIP's
    pixel_std: tuple[float, ...] = (0.26862954, 0.26130258, 0.27577711)

    def __init__(self, config: Any) -> None:
        self.config = config
        self.image_token: int = config.image_token_id
        self.video_token: int = config.video_token_id
        self.vision_start: int = config.vision_start_token_id
        self.vision_end: int = config.vision_end_token_id
        self.merge: int = config.vision_config.spatial_merge_size

    @property
    def banned_tokens(self) -> tuple[int, ...]:
        """Ids of placeholders and of the marks around them."""
        return (self.image_token, self.video_token, self.vision_start, self.vision_end)

    def medium(self, type: MediaType, clip: Clip, geometry: Geometry) -> Patches:
        """Cut a clip, already under its view, into patches."""
        return to_patches(type, clip, geometry)

    def encode(self, messages: list[dict], media: Sequence[Any], tokenizer: Any) -> Prompt:
        """Apply the chat template and expand placeholders; return ids and positions."""
        text = render_prompt(messages, tokenizer)
        short = tokenizer(text, add_special_tokens=False)["input_ids"]
        shown = sum(i in (self.image_token, self.video_token) for i in short)
        if shown != len(media):
            raise UsageError(
                f"model.path: the chat template shows {shown} placeholders for {len(media)} media"
            )
        ids = self.expand(short, media, tokenizer)
        is_media = np.isin(ids, [self.image_token, self.video_token])
        return Prompt(ids, self.positions(ids, media), is_media, tuple(media))

    def row(self, prompt: Prompt, completion: Tensor) -> dict[str, Tensor]:
        """Build the arguments of transformers' forward for one prompt and its completion."""
        tail = self.text_positions(prompt.next_position + torch.arange(len(completion))[None])
        positions = torch.cat([torch.from_numpy(prompt.positions), tail[:, 0]], 1)
        ids = torch.cat([torch.from_numpy(prompt.input_ids), completion])
        row = {"input_ids": ids[None], "position_ids": positions[:, None]}
        for type, name in ((MediaType.IMAGE, "image"), (MediaType.VIDEO, "video")):
            media = [m for m in prompt.media if m.type is type]
            if media:
                pixels = "pixel_values" + ("_videos" if name == "video" else "")
                row[pixels] = torch.cat([m.pixels for m in media])
                row[f"{name}_grid_thw"] = torch.tensor([m.grid for m in media])
        return row

    def geometry(self, stored: Mapping[str, Any]) -> Geometry:
        """Combine the model's patch sizes and the processor file's normalisation."""
        vision = self.config.vision_config
        return Geometry(
            patch=vision.patch_size,
            merge=vision.spatial_merge_size,
            temporal=vision.temporal_patch_size,
            mean=tuple(stored.get("image_mean", self.pixel_mean)),
            std=tuple(stored.get("image_std", self.pixel_std)),
        )

    def time_step(self, patches: Patches) -> float:
        """Return the distance of temporal patches in temporal positions."""
        return 1.0

    def runs(self, patches: Patches) -> list[tuple[int, int, int]]:
        """Return the grids (t, h, w) of the runs of tokens that a medium becomes."""
        return [patches.grid]

    def n_tokens(self, patches: Patches) -> int:
        t, h, w = patches.grid
        return t * (h // self.merge) * (w // self.merge)

    def expand(
        self, input_ids: Sequence[int], media: Sequence[Patches], tokenizer: Any = None
    ) -> np.ndarray:
        """Replace each placeholder by its medium's tokens; return int64 (P,)."""
        remaining = iter(media)
        out: list[int] = []
        for token in input_ids:
            if token in (self.image_token, self.video_token):
                out.extend([token] * self.n_tokens(next(remaining)))
            else:
                out.append(token)
        return np.array(out, dtype=np.int64)

    def positions(self, input_ids: np.ndarray, media: Sequence[Patches]) -> np.ndarray:
        """Return temporal, height and width positions of a prompt, int64 (3, P)."""
        modality = np.select(
            [input_ids == self.image_token, input_ids == self.video_token], [1, 2], 0
        )
        remaining = iter([(p, grid) for p in media for grid in self.runs(p)])
        parts: list[np.ndarray] = []
        start = 0
        for kind, run in groupby(modality):
            length = len(list(run))
            while length:
                if kind == 0:
                    part = np.broadcast_to(np.arange(length), (3, length))
                else:  # adjacent media of one kind share a run
                    patches, (t, h, w) = next(remaining)
                    part = np.indices((t, h // self.merge, w // self.merge)).reshape(3, -1)
                    step = 1.0 if kind == 1 else self.time_step(patches)
                    part[0] = (part[0] * step).astype(np.int64)
                parts.append(part + start)
                start = int(parts[-1].max()) + 1
                length -= part.shape[1]
        return np.concatenate(parts, axis=1)

    def text_positions(self, steps: Tensor) -> Tensor:
        """Repeat (R, C) on the three axes of M-RoPE: (3, R, C)."""
        return steps.expand(3, -1, -1)

    def blank(self) -> Patches:
        """Return a black image of one token."""
        vision = self.config.vision_config
        merge, width = self.merge, 3 * vision.temporal_patch_size * vision.patch_size**2
        return Patches(MediaType.IMAGE, torch.zeros(merge**2, width), (1, merge, merge), 0.0)

    @staticmethod
    def language_model(model: Any) -> Any:
        return model.model.language_model

    @staticmethod
    def tower(model: Any) -> nn.Module:
        return model.model.visual

    @staticmethod
    def blocks(model: Any) -> Sequence[nn.Module]:
        return list(model.model.visual.blocks)

    @staticmethod
    def features(model: Any, pixels: Tensor, grids: Tensor) -> Sequence[Tensor]:
        """Run the tower; return (1, tokens, D) per medium. An image is a clip of one patch."""
        output = model.model.get_video_features(pixels, grids, return_dict=True)
        return [x[None] for x in output.pooler_output]

    @staticmethod
    def deep_features(is_media: Tensor, levels: Tensor) -> dict[str, Any]:
        """Return no arguments: these models have one level."""
        return {}


class Qwen25VL(QwenVL):
    """Family of Qwen2.5-VL: temporal positions count time (``tokens_per_second``)."""

    def time_step(self, patches: Patches) -> float:
        # Processors hand the seconds on as float32, and vLLM multiplies those in double:
        # the fifth patch at 0.7 s is then at position 6 (6.9999998), not 7.
        seconds = float(np.float32(patches.seconds_per_grid))
        return self.config.vision_config.tokens_per_second * seconds
