"""Random Qwen2.5-VL models of the published sizes, and the arithmetic that a step needs.

Sizes are those of the published checkpoints' config.json (Bai et al. 2025, arXiv 2502.13923);
``tiny`` is for machines without a GPU.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from kinograd.config.schema import LoraConfig
from kinograd.models.adapters import add_adapter
from kinograd.models.families import FAMILIES
from kinograd.models.load import VideoLM
from kinograd.models.prefix import PrefixLM

TEXT = 100  # tokens of text around the clip
PATCH = 3 * 2 * 14 * 14  # numbers in a patch: channels, frames, height, width
WINDOW = 64  # patches in a window of the tower: 112 / 14, squared


@dataclass(frozen=True)
class Shape:
    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    vocabulary: int
    tied: bool
    first_vision_token: int
    """<|vision_start|>; <|vision_end|>, <|vision_pad|>, <|image_pad|>, <|video_pad|> follow."""
    vision_hidden: int
    vision_intermediate: int
    vision_depth: int
    vision_heads: int
    full_blocks: tuple[int, ...]
    frame: tuple[int, int]
    """Height and width of the benchmark's clips in patches."""

    @property
    def head_size(self) -> int:
        return self.hidden // self.heads

    @property
    def tokens_per_frame(self) -> int:
        """Video tokens of a temporal patch."""
        return self.frame[0] * self.frame[1] // 4


_VISION = (1280, 3420, 32, 16, (7, 15, 23, 31))
SHAPES = {
    "tiny": Shape(64, 128, 2, 2, 1, 512, True, 500, 32, 64, 2, 2, (1,), (4, 4)),
    "3b": Shape(2048, 11008, 36, 16, 2, 151936, True, 151652, *_VISION, (16, 32)),
    "7b": Shape(3584, 18944, 28, 28, 4, 152064, False, 151652, *_VISION, (16, 32)),
}


def config_of(shape: Shape) -> Any:
    """The ``Qwen2_5_VLConfig`` of a shape."""
    from transformers import Qwen2_5_VLConfig

    eighth = shape.head_size // 16  # mrope sections are 16, 24, 24 for heads of 128
    return Qwen2_5_VLConfig(
        text_config={
            "vocab_size": shape.vocabulary,
            "hidden_size": shape.hidden,
            "intermediate_size": shape.intermediate,
            "num_hidden_layers": shape.layers,
            "num_attention_heads": shape.heads,
            "num_key_value_heads": shape.kv_heads,
            "max_position_embeddings": 128000,
            "rms_norm_eps": 1e-6,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 1000000.0,
                "mrope_section": [2 * eighth, 3 * eighth, 3 * eighth],
            },
            "bos_token_id": shape.first_vision_token - 9,
            "eos_token_id": shape.first_vision_token - 7,
            "tie_word_embeddings": shape.tied,
        },
        vision_config={
            "depth": shape.vision_depth,
            "hidden_size": shape.vision_hidden,
            "intermediate_size": shape.vision_intermediate,
            "num_heads": shape.vision_heads,
            "out_hidden_size": shape.hidden,
            "fullatt_block_indexes": list(shape.full_blocks),
            "window_size": 112,
            "patch_size": 14,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "tokens_per_second": 2,
        },
        vision_start_token_id=shape.first_vision_token,
        vision_end_token_id=shape.first_vision_token + 1,
        image_token_id=shape.first_vision_token + 3,
        video_token_id=shape.first_vision_token + 4,
        tie_word_embeddings=shape.tied,
    )


class NoText:
    """Stands where a tokenizer stands: random weights write nothing worth reading."""

    chat_template = None
    eos_token_id = -1  # never drawn, so every rollout has the same length

    def batch_decode(self, rows: Any, **options: Any) -> list[str]:
        return [""] * len(rows)


BYTES = 24
"""Of a trained float32 weight: itself, its gradient, AdamW's two moments and work space, and
the reference's copy."""


def build(shape: Shape, device: torch.device, checkpointing: bool) -> tuple[VideoLM, bool]:
    """A model as ``kinograd.models.load.load`` makes one, initialised on the device.

    Returns:
        The model, and whether it trains adapters instead of all its weights (with the tower
        frozen), because those take more than 70 % of the device's memory.
    """
    from transformers import Qwen2_5_VLForConditionalGeneration

    with torch.device(device):
        torch.manual_seed(0)
        model = Qwen2_5_VLForConditionalGeneration(config_of(shape))
    count = sum(p.numel() for p in model.parameters())
    room = torch.cuda.mem_get_info(device)[1] if device.type == "cuda" else float("inf")
    lora = BYTES * count > 0.7 * room
    family = FAMILIES["qwen2_5_vl"](model.config)
    if lora:
        add_adapter(model, LoraConfig())
    family.tower(model).requires_grad_(not lora)
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    lm = PrefixLM(model, family, dtype)
    lm.train()
    return VideoLM(lm, NoText(), family.geometry({}), ""), lora


def step_flops(shape: Shape, v: int, c: int, g: int, *, lora: bool, shared: bool) -> float:
    """Operations of a policy+reference step, two for each multiply-add.

    Recomputation by gradient checkpointing is not counted. With P = V + text tokens of prompt:

        linear(n)   2 n layers (2 h^2 + 2 h kv + 3 h i)         n tokens through the decoder
        pairs(n)    4 n layers h                                n pairs of query and key
        rows        G (linear(P + C) + pairs(P^2 / 2 + P C + C^2 / 2))
        shared      linear(P + G C) + pairs(P^2 / 2 + G (P C + C^2 / 2))
        head        G C 2 h vocabulary

    and the tower's on 4 V patches, G times for rows. A reference is one forward pass, training
    three (no gradient of weights under an adapter: two, but for attention). A frozen tower is
    run by rows for reference and policy; shared, once for both.
    """
    h, kv, p = shape.hidden, shape.kv_heads * shape.head_size, v + TEXT
    per_token = 2 * shape.layers * (2 * h * h + 2 * h * kv + 3 * h * shape.intermediate)
    per_pair = 4 * shape.layers * h
    own = p * c + c * c / 2
    if shared:
        tokens, pairs = p + g * c, p * p / 2 + g * own
    else:
        tokens, pairs = g * (p + c), g * (p * p / 2 + own)
    head = g * c * 2 * h * shape.vocabulary
    products = 3 if lora else 4
    tower_passes = (1 if shared else 2) if lora else 4
    tower = tower_passes * _tower_flops(shape, v) * (1 if shared else g)
    return products * (per_token * tokens + head) + 4 * per_pair * pairs + tower


def _tower_flops(shape: Shape, v: int) -> float:
    """Operations of the vision tower's forward pass over V video tokens."""
    w, patches = shape.vision_hidden, 4 * v
    in_frame, full = 4 * shape.tokens_per_frame, len(shape.full_blocks)
    blocks = 2 * patches * shape.vision_depth * (4 * w * w + 3 * w * shape.vision_intermediate)
    seen = full * in_frame + (shape.vision_depth - full) * WINDOW
    merger = 2 * v * ((4 * w) ** 2 + 4 * w * shape.hidden)
    return blocks + 4 * w * patches * seen + 2 * patches * PATCH * w + merger
