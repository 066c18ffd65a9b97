"""What a run leaves in model/ is an ordinary checkpoint: plain transformers compute its numbers."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForImageTextToText, AutoTokenizer

from kinograd.config.schema import ModelConfig, OptimConfig
from kinograd.datasets.jsonl import read_examples
from kinograd.files import read_records
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


@pytest.mark.parametrize("over", [{}, {"model": {"lora": LORA}}], ids=["weights", "adapter"])
def test_a_run_changes_nothing_but_weights(
    over: dict[str, Any], recipe: Callable[..., Any], tiny: Path, tmp_path: Path
) -> None:
    """Settings stay the source's to the byte, those that transformers would not write too."""
    source = shutil.copytree(tiny, tmp_path / "source")
    settings = json.loads((source / "generation_config.json").read_text())
    # a list of end tokens, and a temperature that transformers refuses to save with greedy
    further = {"eos_token_id": [settings["eos_token_id"], 7], "repetition_penalty": 1.05}
    settings |= further | {"do_sample": False, "temperature": 0.6}
    (source / "generation_config.json").write_text(json.dumps(settings))
    (source / "special_tokens_map.json").write_text('{"eos_token": "<|im_end|>"}')
    (source / "notes.json").write_text("{}")
    old = os.umask(0o027)
    try:
        saved = train_sft(
            recipe("sft", {"model": {"path": str(source)}, "sft": {"steps": 1}}, over)
        )
    finally:
        os.umask(old)
    changed = {"model.safetensors", "kinograd.json"}
    names = {f.name for f in source.iterdir()} - {"notes.json"}
    assert {f.name for f in saved.iterdir()} == names | changed
    for name in names - changed:
        assert (saved / name).read_bytes() == (source / name).read_bytes(), name
    modes = {f.stat().st_mode & 0o777 for f in saved.parent.rglob("*") if f.is_file()}
    assert modes == {0o640}
    assert set(load(ModelConfig(path=str(saved), device="cpu")).end_tokens) >= {7}


def test_settings_are_not_invented(recipe: Callable[..., Any], tiny: Path, tmp_path: Path) -> None:
    source = shutil.copytree(tiny, tmp_path / "source")
    (source / "generation_config.json").unlink()
    saved = train_sft(recipe("sft", {"model": {"path": str(source)}, "sft": {"steps": 1}}))
    assert not (saved / "generation_config.json").exists()


def test_a_response_beyond_the_bound_is_rejected_and_counted(
    recipe: Callable[..., Any], world: Path, tmp_path: Path
) -> None:
    rows = [json.loads(line) for line in (world / "train.jsonl").read_text().splitlines()[:24]]
    rows[3]["rationale"] = "red " * 15_000
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    over = {"data": {"train": [str(data)]}, "sft": {"steps": 3, "batch_size": 8}}
    config = recipe("sft", over)
    saved = train_sft(config)
    (row,) = read_records(Path(config.run.dir) / "quarantine.jsonl")
    assert row["id"] == rows[3]["id"]
    assert row["reason"] == "response_too_long"
    assert "sft.max_response_tokens is 4096" in row["detail"]
    assert json.loads((saved.parent / "state.json").read_text())["failed"] == 1


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
