"""The shared-prefix pass against replicated rows through plain transformers."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from tests.tiny_models import fresh, make_prompt
from transformers import (
    AutoConfig,
    AutoTokenizer,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
)

from kinograd.algo.parts.loss import TokenBatch
from kinograd.config.rollout import InProcess, SamplingConfig
from kinograd.config.schema import OptimConfig
from kinograd.models.load import VideoLM, frozen_copy
from kinograd.models.prefix import PrefixLM
from kinograd.rollout.engine import Request
from kinograd.rollout.in_process import InProcessEngine
from kinograd.synthetic.tiny_model import make_tiny
from kinograd.train.batching import TrainCompletion, TrainItem
from kinograd.train.learner import Learner
from kinograd.types import ORDERED, Example, Kind


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("tiny")
    make_tiny(path, "0.8m", seed=3)
    return path


def other_family(source, folder, name: str):
    """A random checkpoint of another architecture with the tiny model's tokenizer."""
    settings = AutoConfig.from_pretrained(source)
    vision = {"depth": 3, "num_heads": 2, "patch_size": 14, "temporal_patch_size": 2}
    text = settings.text_config.to_dict()
    sizes = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers")
    sizes += ("num_attention_heads", "num_key_value_heads", "tie_word_embeddings")
    text = {k: text[k] for k in sizes}
    rope = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [4, 6, 6]}
    if name == "qwen2_vl":
        vision |= {"embed_dim": 64, "hidden_size": text["hidden_size"], "mlp_ratio": 2}
        config, cls = Qwen2VLConfig, Qwen2VLForConditionalGeneration
    else:
        vision |= {"hidden_size": 64, "intermediate_size": 96, "patch_size": 16}
        vision |= {"out_hidden_size": text["hidden_size"], "deepstack_visual_indexes": [0, 1]}
        vision |= {"num_position_embeddings": 64}
        text |= {"head_dim": 32}
        rope |= {"mrope_interleaved": True}
        config, cls = Qwen3VLConfig, Qwen3VLForConditionalGeneration
    ids = {k: getattr(settings, k) for k in ("image_token_id", "video_token_id")}
    ids |= {k: getattr(settings, k) for k in ("vision_start_token_id", "vision_end_token_id")}
    torch.manual_seed(0)
    model = cls(config(text_config=text | {"rope_parameters": rope}, vision_config=vision, **ids))
    for p in model.parameters():
        torch.nn.init.normal_(p, std=0.06) if p.ndim > 1 else None
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(source).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("name", ["qwen2_vl", "qwen3_vl"])
def test_other_families_equal_replicated_rows(folder, tmp_path, name):
    model = fresh(other_family(folder, tmp_path, name), train_vision=True)
    tasks = make_tasks(model, SHAPES)
    loss = sum(
        -(torch.from_numpy(c.weight * c.advantage) * logp).sum()
        for task in tasks
        for c, logp in zip(task.completions, replicated(model, task), strict=True)
    )
    loss.backward()
    expected = gradients(model)
    model.lm.zero_grad()
    Learner(model, OptimConfig(), total_steps=1).accumulate(tasks, reinforce)
    assert relative(gradients(model), expected) < 2e-5


@pytest.mark.parametrize("name", ["qwen2_vl", "qwen3_vl"])
def test_positions_of_other_families_are_transformers(folder, tmp_path, name):
    model = fresh(other_family(folder, tmp_path, name))
    prompt = make_prompt(model, 0, grid=(2, 4, 6))  # shorter than wide: all rules agree
    expected, _ = model.lm.model.model.get_rope_index(
        torch.from_numpy(prompt.input_ids)[None],
        mm_token_type_ids=torch.from_numpy(prompt.is_media)[None].int() * 2,
        video_grid_thw=torch.tensor([prompt.media[0].grid]),
    )
    np.testing.assert_array_equal(prompt.positions, expected[:, 0].numpy())


def make_tasks(model: VideoLM, shapes, seed=0) -> list[TrainItem]:
    """shapes: (prompt text length, completion lengths) per task."""
    rng = np.random.default_rng(seed)
    tasks = []
    for i, (text, lengths) in enumerate(shapes):
        completions = tuple(
            TrainCompletion(
                rng.integers(300, 400, n),
                np.full(n, 1 / (n * len(lengths)), np.float32),
                advantage=np.full(n, rng.standard_normal(), np.float32),
            )
            for n in lengths
        )
        tasks.append(TrainItem(make_prompt(model, seed * 100 + i, text=text), completions))
    return tasks


def replicated(model: VideoLM, task: TrainItem, dtype=torch.float32) -> list[torch.Tensor]:
    """log-probs of each completion by one whole plain forward per row."""
    hf = model.lm.model
    out = []
    for c in task.completions:
        prompt = task.prompt
        ids = torch.from_numpy(np.concatenate([prompt.input_ids, c.token_ids]))[None]
        tail = prompt.next_position + np.arange(len(c.token_ids))
        pos = torch.from_numpy(
            np.concatenate([prompt.positions, np.broadcast_to(tail, (3, len(tail)))], 1)
        )[:, None]
        logits = hf(
            input_ids=ids,
            position_ids=pos,
            pixel_values_videos=prompt.media[0].pixels.to(dtype),
            video_grid_thw=torch.tensor([prompt.media[0].grid]),
        ).logits[0]
        rows = logits[len(prompt.input_ids) - 1 : -1].log_softmax(-1)
        out.append(rows.gather(1, torch.from_numpy(c.token_ids)[:, None])[:, 0])
    return out


def reinforce(batch: TokenBatch):
    loss = -(batch.weight * batch.advantage * batch.logprobs).sum()
    return loss, {"loss": loss.detach()}


def gradients(model: VideoLM) -> dict[str, torch.Tensor]:
    return {n: p.grad.clone() for n, p in model.lm.named_parameters() if p.grad is not None}


def relative(a: dict, b: dict) -> float:
    assert a.keys() == b.keys()
    num = sum(((a[n] - b[n]) ** 2).sum() for n in a)
    return float((num / sum((x**2).sum() for x in b.values())).sqrt())


SHAPES = [(9, (5, 1, 7, 3)), (9, (2, 2, 6, 4)), (13, (3, 8, 1, 5))]


@pytest.mark.parametrize("micro_tokens", [1, 120, 100_000])
@pytest.mark.parametrize("token_local", [True, False])
@pytest.mark.parametrize("train_vision", [True, False])
def test_gradients_equal_replicated_rows(folder, micro_tokens, token_local, train_vision):
    model = fresh(folder, train_vision=train_vision)
    tasks = make_tasks(model, SHAPES)
    losses = []
    for task in tasks:
        for c, logp in zip(task.completions, replicated(model, task), strict=True):
            losses.append(-(torch.from_numpy(c.weight * c.advantage) * logp).sum())
    sum(losses).backward()
    expected = gradients(model)
    model.lm.zero_grad()
    learner = Learner(model, OptimConfig(micro_tokens=micro_tokens), total_steps=1)
    sums = learner.accumulate(tasks, reinforce, token_local=token_local)
    assert sums["loss"] == pytest.approx(float(sum(losses).detach()), abs=1e-5)
    assert relative(gradients(model), expected) < 1e-5


@pytest.fixture(scope="module")
def sliding(folder, tmp_path_factory):
    """The tiny model with a window of six tokens in its last two layers."""
    path = tmp_path_factory.mktemp("sliding")
    shutil.copytree(folder, path, dirs_exist_ok=True)
    config = json.loads((path / "config.json").read_text())
    config["text_config"] |= {"use_sliding_window": True, "sliding_window": 6}
    config["text_config"] |= {"max_window_layers": 1}
    config["text_config"].pop("layer_types", None)
    (path / "config.json").write_text(json.dumps(config))
    return path


def test_sliding_window_layers_equal_replicated_rows(sliding):
    model = fresh(sliding, train_vision=True)
    layers = model.family.language_model(model.lm.model).layers
    assert [x.self_attn.sliding_window for x in layers] == [None, 6, 6]
    tasks = make_tasks(model, SHAPES)
    loss = sum(
        -(torch.from_numpy(c.weight * c.advantage) * logp).sum()
        for task in tasks
        for c, logp in zip(task.completions, replicated(model, task), strict=True)
    )
    loss.backward()
    expected = gradients(model)
    model.lm.zero_grad()
    Learner(model, OptimConfig(), total_steps=1).accumulate(tasks, reinforce)
    assert relative(gradients(model), expected) < 1e-5


@pytest.mark.parametrize("kind", ["folder", "sliding"])
def test_rollout_logprobs_are_the_learners(kind, request):
    model = fresh(request.getfixturevalue(kind))
    check_rollout_logprobs(model)


def test_gradient_checkpointing_changes_nothing(folder):
    plain = fresh(folder, train_vision=True)
    tasks = make_tasks(plain, SHAPES)
    Learner(plain, OptimConfig(), total_steps=1).accumulate(tasks, reinforce)
    model = fresh(folder, train_vision=True, gradient_checkpointing=True)
    assert model.lm.model.is_gradient_checkpointing
    Learner(model, OptimConfig(), total_steps=1).accumulate(make_tasks(model, SHAPES), reinforce)
    assert relative(gradients(model), gradients(plain)) < 1e-6


def test_scores_equal_replicated_rows(folder):
    model = fresh(folder)
    tasks = make_tasks(model, SHAPES)
    scores = Learner(model, OptimConfig(micro_tokens=150), total_steps=1).score(tasks)
    with torch.no_grad():
        for task, rows in zip(tasks, scores, strict=True):
            for row, expected in zip(rows, replicated(model, task), strict=True):
                np.testing.assert_allclose(row, expected.numpy(), atol=2e-5)


def test_lora_gradients_equal_replicated_rows(folder):
    options = {"lora": {"rank": 4, "targets": ["q_proj"]}}
    model = fresh(folder, **options)
    with torch.no_grad():  # B starts at zero, which would leave A without a gradient
        for n, p in model.lm.named_parameters():
            if "lora_B" in n:
                p.copy_(0.1 * torch.randn(p.shape, generator=torch.Generator().manual_seed(1)))
    tasks = make_tasks(model, SHAPES)
    loss = sum(
        -(torch.from_numpy(c.weight * c.advantage) * logp).sum()
        for task in tasks
        for c, logp in zip(task.completions, replicated(model, task), strict=True)
    )
    loss.backward()
    expected = gradients(model)
    assert expected
    assert all("lora_" in n for n in expected)
    model.lm.zero_grad()
    Learner(model, OptimConfig(), total_steps=1).accumulate(tasks, reinforce)
    assert relative(gradients(model), expected) < 1e-5


def test_tower_runs_once_per_clip_whatever_the_group(folder):
    model = fresh(folder, train_vision=True)
    prompt = make_prompt(model, 0)
    again = make_prompt(model, 1, shared=prompt.media[0])
    completions = make_tasks(model, [(9, (4,) * 8)])[0].completions
    tasks = [TrainItem(prompt, completions), TrainItem(again, completions)]
    Learner(model, OptimConfig(), total_steps=1).accumulate(tasks, reinforce)
    assert model.lm.patches_seen == len(prompt.media[0].pixels)


def test_frozen_tower_runs_once_for_rollout_reference_and_policy(folder):
    model = fresh(folder)
    reference = frozen_copy(model.lm)
    prompt = make_prompt(model, 0)
    request = Request(example("a"), ORDERED, prompt, 3)
    engine = InProcessEngine(model, InProcess())
    group = engine.generate([request], SamplingConfig(max_new_tokens=4), key=(0,))[0]
    completions = tuple(
        TrainCompletion(r.token_ids, np.ones(len(r.token_ids)), advantage=np.ones(len(r.token_ids)))
        for r in group.rollouts
    )
    learner = Learner(model, OptimConfig(), total_steps=1)
    learner.score([TrainItem(prompt, completions)], reference)
    learner.accumulate([TrainItem(prompt, completions)], reinforce)
    assert model.lm.patches_seen + reference.patches_seen == len(prompt.media[0].pixels)
    assert not any("visual" in n for n in gradients(model))


def example(name: str) -> Example:
    return Example(name, Kind.FREE_FORM, "what?", "x", ())


def check_rollout_logprobs(model: VideoLM) -> None:
    requests = [
        Request(example(str(i)), ORDERED, make_prompt(model, i, text=7 + i), 4) for i in range(5)
    ]
    sampling = SamplingConfig(max_new_tokens=12, temperature=0.7)
    groups = InProcessEngine(model, InProcess(max_rows=8)).generate(requests, sampling, key=(1, 2))
    learner = Learner(model, OptimConfig(), total_steps=1, temperature=0.7, ban_vision=True)
    tasks = [
        TrainItem(
            r.prompt,
            tuple(TrainCompletion(x.token_ids, np.ones(len(x.token_ids))) for x in g.rollouts),
        )
        for r, g in zip(requests, groups, strict=True)
    ]
    for group, rows in zip(groups, learner.score(tasks), strict=True):
        for rollout, row in zip(group.rollouts, rows, strict=True):
            np.testing.assert_allclose(rollout.logprobs, row, atol=3e-5)


def test_double_precision_gradients_agree_to_rounding(folder):
    model = fresh(folder, train_vision=True)
    model.lm.model.double()
    model = VideoLM(
        PrefixLM(model.lm.model, model.family, torch.float64), model.tokenizer, model.geometry, ""
    )
    tasks = make_tasks(model, SHAPES[:2])
    loss = sum(
        -(torch.from_numpy(c.weight * c.advantage) * logp).sum()
        for task in tasks
        for c, logp in zip(task.completions, replicated(model, task, torch.float64), strict=True)
    )
    loss.backward()
    expected = gradients(model)
    model.lm.zero_grad()
    Learner(model, OptimConfig(), total_steps=1).accumulate(tasks, reinforce)
    assert relative(gradients(model), expected) < 1e-7
