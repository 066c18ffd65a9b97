"""Fallback family: any other image-text model of transformers, with its own processor.

The checkpoint's processor makes prompt, placeholders and pixels. A video is given as its
frames, one image each: video processors need torchvision, which cannot be imported beside
every build of torch, and many of these models have none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kinograd.models.media import Frames, Prompt
from kinograd.models.template import render_prompt
from kinograd.types import Clip, MediaType, UsageError
from kinograd.video.patches import Geometry

_PLACEHOLDERS = (
    "image_token_id",
    "image_token_index",
    "video_token_id",
    "video_token_index",
    "boi_token_id",
    "boi_token_index",
    "eoi_token_id",
    "eoi_token_index",
    "audio_token_id",
)


class OtherVL:
    """Family of every ``model_type`` that ``FAMILIES`` does not list.

    Raises:
        UsageError: no image processor, no chat template, or no image placeholder to keep
            samplers from.
    """

    def __init__(self, config: Any, processor: Any, path: str) -> None:
        self.config = config
        self.processor = processor
        ids = [getattr(config, name, None) for name in _PLACEHOLDERS]
        self.banned_tokens = tuple(dict.fromkeys(i for i in ids if isinstance(i, int)))
        """Ids of tokens that only the processor may write."""
        if not self.banned_tokens:
            raise UsageError(f"model.path: {path} names no image token in its config.json")
        if not hasattr(processor, "image_processor"):
            raise UsageError(f"model.path: {path} has no processor for images")
        if getattr(processor, "chat_template", None) is None:
            raise UsageError(f"model.path: the processor of {path} has no chat template")

    def geometry(self, stored: Mapping[str, Any]) -> Geometry:
        """Return a grid of single pixels: the processor resizes and normalises frames itself."""
        return Geometry(patch=1, merge=1, temporal=1, mean=(0.0,) * 3, std=(1.0,) * 3)

    def medium(self, type: MediaType, clip: Clip, geometry: Geometry) -> Frames:
        """Keep the frames of a clip, already under its view, as they are."""
        return Frames(type, clip.frames)

    def encode(self, messages: list[dict], media: Sequence[Any], tokenizer: Any) -> Prompt:
        """Let the processor encode chat messages; return ids and its other outputs."""
        shown = iter(media)
        turns = []
        for message in messages:
            content = message["content"]
            parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
            turns.append({"role": message["role"], "content": _as_images(parts, shown)})
        images = [p["image"] for t in turns for p in t["content"] if p["type"] == "image"]
        text = render_prompt(turns, self.processor)
        begin = getattr(tokenizer, "bos_token", None)
        made = self.processor(
            text=[text],
            images=[images] if images else None,
            add_special_tokens=not (begin and text.startswith(begin)),
            return_tensors="pt",
        )
        ids = made.pop("input_ids")[0].numpy()
        made.pop("attention_mask", None)
        return Prompt(
            ids, np.arange(len(ids)), np.isin(ids, self.banned_tokens), tuple(media), dict(made)
        )

    def row(self, prompt: Prompt, completion: Tensor) -> dict[str, Tensor]:
        """Build the arguments of transformers' forward for one prompt and its completion."""
        p, c = len(prompt.input_ids), len(completion)
        row = {"input_ids": torch.cat([torch.from_numpy(prompt.input_ids), completion.cpu()])[None]}
        for name, value in prompt.inputs.items():
            if value.shape == (1, p):  # per token, such as its type: completions are text, 0
                value = torch.cat([value, value.new_zeros(1, c)], 1)
            row[name] = value
        return row | {"attention_mask": torch.ones(1, p + c, dtype=torch.long)}

    @staticmethod
    def tower(model: Any) -> nn.Module:
        """Return the vision encoder, without the layers that connect it to the language model.

        Raises:
            UsageError: the model has no encoder of its own for images.
        """
        tower = model.get_encoder(modality="image")
        if tower is model or tower is model.base_model:
            name = type(model).__name__
            raise UsageError(f"model.path: {name} has no vision tower that Kinograd could find")
        return tower


def _as_images(parts: Sequence[Mapping[str, Any]], shown: Any) -> list[dict]:
    from PIL import Image

    out: list[dict] = []
    for part in parts:
        if part["type"] == "text":
            out.append(dict(part))
        else:
            frames = next(shown).pixels.transpose(0, 2, 3, 1)
            out += [{"type": "image", "image": Image.fromarray(frame)} for frame in frames]
    return out
