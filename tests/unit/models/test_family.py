"""A family that is no Qwen: frames as images, positions on one axis, InternVL's architecture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests import builders
from torch import Tensor, nn
from transformers import AutoTokenizer, InternVLConfig, InternVLForConditionalGeneration

from kinograd.config.rollout import InProcess, SamplingConfig
from kinograd.config.schema import OptimConfig, PromptConfig
from kinograd.models.family import PrefixFamily
from kinograd.models.load import VideoLM
from kinograd.models.media import Patches, Prompt
from kinograd.models.prefix import PrefixLM
from kinograd.models.prompt import encode
from kinograd.models.replicated import ReplicatedLM
from kinograd.models.template import render_prompt
from kinograd.rollout.engine import Request
from kinograd.rollout.in_process import InProcessEngine
from kinograd.train.batching import TrainCompletion, TrainItem
from kinograd.train.learner import Learner
from kinograd.train.selfcheck import run_check
from kinograd.types import ORDERED, Clip, MediaType
from kinograd.video.patches import Geometry

SIDE, PER_FRAME = 28, 4


class FramesVL:
    """InternVL without tiles: every frame is one image of ``PER_FRAME`` tokens."""

    def __init__(self, config: Any) -> None:
        self.config = config
        self.banned_tokens = (config.image_token_id,)

    def geometry(self, stored: Mapping[str, Any]) -> Geometry:
        return Geometry(patch=7, merge=4, temporal=1, mean=(0.5,) * 3, std=(0.5,) * 3)

    def medium(self, type: MediaType, clip: Clip, geometry: Geometry) -> Patches:
        pixels = torch.from_numpy(np.array(clip.frames)).float() / 127.5 - 1
        pixels = nn.functional.interpolate(pixels, (SIDE, SIDE))
        return Patches(type, pixels, (len(pixels), 1, 1), 1 / clip.fps)

    def encode(self, messages: list[dict], media: Sequence[Any], tokenizer: Any) -> Prompt:
        left, ids = iter(media), []
        for token in tokenizer(render_prompt(messages, tokenizer))["input_ids"]:
            is_video = tokenizer.convert_ids_to_tokens(token) == "<|video_pad|>"
            n = PER_FRAME * len(next(left).pixels) if is_video else 1
            ids += [self.config.image_token_id if is_video else token] * n
        array = np.array(ids)
        is_media = array == self.config.image_token_id
        return Prompt(array, np.arange(len(array)), is_media, tuple(media))

    def row(self, prompt: Prompt, completion: Tensor) -> dict[str, Tensor]:
        ids = torch.cat([torch.from_numpy(prompt.input_ids), completion])[None]
        row = {"input_ids": ids, "position_ids": torch.arange(ids.shape[1])[None]}
        if prompt.media:
            row["pixel_values"] = torch.cat([m.pixels for m in prompt.media])
        return row

    def tower(self, model: Any) -> nn.Module:
        return model.model.vision_tower

    def blocks(self, model: Any) -> Sequence[nn.Module]:
        return list(model.model.vision_tower.encoder.layer)

    def language_model(self, model: Any) -> Any:
        return model.model.language_model

    def features(self, model: Any, pixels: Tensor, grids: Tensor) -> Sequence[Tensor]:
        out = model.model.get_image_features(pixels, return_dict=True).pooler_output
        return [x.flatten(0, 1)[None] for x in out.split(grids[:, 0].tolist())]

    def deep_features(self, is_media: Tensor, levels: Tensor) -> dict[str, Any]:
        return {}

    def text_positions(self, steps: Tensor) -> Tensor:
        return steps

    def blank(self) -> Patches:
        return Patches(MediaType.IMAGE, torch.zeros(1, 3, SIDE, SIDE), (1, 1, 1), 0.0)


FAMILY: type[PrefixFamily] = FramesVL


@pytest.fixture(params=[PrefixLM, ReplicatedLM])
def model(request: pytest.FixtureRequest, tiny: Path) -> VideoLM:
    tokenizer = AutoTokenizer.from_pretrained(tiny)
    text = {"hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 2}
    text |= {"num_attention_heads": 3, "num_key_value_heads": 1, "vocab_size": len(tokenizer)}
    vision = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    vision |= {"num_attention_heads": 2, "image_size": [SIDE, SIDE], "patch_size": [7, 7]}
    config = InternVLConfig(
        text_config=text | {"model_type": "qwen2"},
        vision_config=vision,
        image_token_id=tokenizer.convert_tokens_to_ids("<|image_pad|>"),
        image_seq_length=PER_FRAME,
    )
    torch.manual_seed(0)
    loaded = InternVLForConditionalGeneration(config)
    for p in loaded.parameters():
        torch.nn.init.normal_(p, std=0.08) if p.ndim > 1 else None
    family = FAMILY(config)
    lm = request.param(loaded, family, torch.float32)
    return VideoLM(lm, tokenizer, family.geometry({}), "")


def test_the_self_check_passes(model: VideoLM) -> None:
    assert run_check(model).faults == []


def test_rollouts_of_several_prompts_have_the_learners_logprobs(model: VideoLM) -> None:
    asked = []
    for i, frames in enumerate((2, 5, 0)):
        shown, example = [], builders.example(str(i), question="what? " * (i + 1))
        if frames:
            rng = np.random.default_rng(i)
            pixels = rng.integers(0, 256, (frames, 3, 56, 28)).astype(np.uint8)
            clip = Clip(pixels, np.arange(frames) / 2, 2.0, 2.0, frames / 2)
            shown = [model.medium(MediaType.VIDEO, clip)]
            example = builders.example(str(i), question="what?", media=[builders.video()])
        config = PromptConfig(template="plain")
        prompt = encode(example, shown, config, model.tokenizer, model.family)
        asked.append(Request(example, ORDERED, prompt, 3))
    sampling = SamplingConfig(max_new_tokens=6)
    groups = InProcessEngine(model, InProcess()).generate(asked, sampling, key=(0,))
    learner = Learner(model, OptimConfig(), total_steps=1, ban_vision=True)
    items = [
        TrainItem(
            r.prompt,
            tuple(TrainCompletion(x.token_ids, np.ones(len(x.token_ids))) for x in g.rollouts),
        )
        for r, g in zip(asked, groups, strict=True)
    ]
    for group, rows in zip(groups, learner.score(items), strict=True):
        for rollout, row in zip(group.rollouts, rows, strict=True):
            np.testing.assert_allclose(rollout.logprobs, row, atol=3e-5)
