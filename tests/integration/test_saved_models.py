"""What a run leaves in model/ is an ordinary checkpoint: plain transformers compute its numbers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForImageTextToText, AutoTokenizer

from kinograd.config.schema import ModelConfig, OptimConfig
from kinograd.datasets.jsonl import read_examples
from kinograd.models.load import load
from kinograd.models.prompt import Prompt, encode_response
from kinograd.models.reader import Reader
from kinograd.train import checkpoint
from kinograd.train.batching import TrainCompletion, TrainItem
from kinograd.train.learner import Learner
from kinograd.train.rl import train_rl
from kinograd.train.sft import train_sft
from kinograd.video.clip_store import ClipStore

LORA = {"rank": 4, "alpha": 64.0, "targets": ["q_proj", "down_proj"]}


@pytest.fixture(params=["untrained", "sft", "sft with adapter", "rl with adapter"])
def saved(
    request: pytest.FixtureRequest, recipe: Callable[..., Any], tiny: Path, varied: dict[str, Any]
) -> Path:
    match request.param:
        case "untrained":
            return tiny
        case "sft":
            return train_sft(recipe("sft", {"model": {"train_vision": True}}))
        case "sft with adapter":
            return train_sft(recipe("sft", {"model": {"lora": LORA}, "optim": {"lr": 1e-2}}))
        case _:
            over = {"model": {"lora": LORA}, "optim": {"lr": 1e-2}}
            return train_rl(recipe("rl", varied, over))


def plain_logprobs(folder: Path, prompt: Prompt, response: np.ndarray) -> np.ndarray:
    """Of the response's tokens, by one forward pass of transformers, our ids and positions."""
    model, report = AutoModelForImageTextToText.from_pretrained(
        folder, dtype=torch.float32, output_loading_info=True
    )
    assert not any(report[k] for k in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    ids = np.concatenate([prompt.input_ids, response])
    tail = prompt.next_position + np.arange(len(response))
    places = np.concatenate([prompt.positions, np.broadcast_to(tail, (3, len(tail)))], 1)
    with torch.no_grad():
        logits = model(
            input_ids=torch.from_numpy(ids)[None],
            position_ids=torch.from_numpy(places)[:, None],
            pixel_values_videos=prompt.media[0].pixels,
            video_grid_thw=torch.tensor([prompt.media[0].grid]),
        ).logits[0]
    rows = logits[len(prompt.input_ids) - 1 : -1].log_softmax(-1)
    return rows.gather(1, torch.from_numpy(response)[:, None])[:, 0].numpy()


def test_plain_transformers_compute_the_same(
    saved: Path, world: Path, tiny: Path, recipe: Callable[..., Any]
) -> None:
    text = (saved / "config.json").read_text()
    assert "kinograd" not in text
    settings = json.loads(text)
    assert settings["architectures"] == ["Qwen2_5_VLForConditionalGeneration"]
    assert "auto_map" not in settings
    for name in (
        "preprocessor_config.json",
        "video_preprocessor_config.json",
        "chat_template.json",
    ):
        assert (saved / name).read_bytes() == (tiny / name).read_bytes()

    tokenizer, first = (AutoTokenizer.from_pretrained(p) for p in (saved, tiny))
    said = "<think>red blue . first red</think>\n<answer>red</answer><|im_end|>"
    assert tokenizer(said)["input_ids"] == first(said)["input_ids"]
    assert tokenizer.chat_template == first.chat_template
    assert tokenizer.eos_token_id == first.eos_token_id

    model = load(ModelConfig(path=str(saved), device="cpu"))
    config = recipe("sft")
    example = read_examples(world / "held_out.jsonl")[0]
    response = encode_response(example, model.tokenizer)
    with ClipStore(config.video, world, model.geometry.size_factor) as store:
        prompt = Reader(model, store, config.prompt, seed=0).read(example)
    completion = TrainCompletion(response, np.ones(len(response), np.float32))
    learner = Learner(model, OptimConfig(), total_steps=1)
    ((ours,),) = learner.score([TrainItem(prompt, (completion,))])
    np.testing.assert_allclose(ours, plain_logprobs(saved, prompt, response), atol=3e-5)


def test_a_saved_adapter_is_the_model_that_was_trained(
    recipe: Callable[..., Any], world: Path
) -> None:
    """Folding it into the weights changes nothing but rounding, and it is not nothing."""
    config = recipe("sft", {"model": {"lora": LORA}, "optim": {"lr": 1e-2}})
    folder = train_sft(config)
    trained = load(config.model)
    tensors, state = checkpoint.load(folder.parent)
    learner = Learner(trained, config.optim, total_steps=3)
    learner.restore(tensors, state["updates"])
    merged = load(ModelConfig(path=str(folder), device="cpu"))
    base = load(ModelConfig(path=config.model.path, device="cpu"))
    example = read_examples(world / "held_out.jsonl")[1]
    response = encode_response(example, merged.tokenizer)
    completion = TrainCompletion(response, np.ones(len(response), np.float32))
    with ClipStore(config.video, world, merged.geometry.size_factor) as store:
        prompt = Reader(merged, store, config.prompt, seed=0).read(example)
    scores = [
        Learner(m, OptimConfig(), total_steps=1).score([TrainItem(prompt, (completion,))])[0][0]
        for m in (merged, base)
    ]
    ((live,),) = learner.score([TrainItem(prompt, (completion,))])
    np.testing.assert_allclose(live, scores[0], atol=3e-5)
    assert np.abs(scores[0] - scores[1]).max() > 0.01
