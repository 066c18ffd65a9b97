"""Text, images and videos in one batch through the shared prefix, against plain rows."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image
from tests import builders

from kinograd import files
from kinograd.algo.parts.loss import TokenBatch
from kinograd.config.rollout import InProcess, SamplingConfig
from kinograd.config.schema import ModelConfig, OptimConfig, PromptConfig
from kinograd.models.load import VideoLM, load
from kinograd.models.media import Prompt
from kinograd.models.prompt import encode
from kinograd.rollout.engine import Request
from kinograd.rollout.in_process import InProcessEngine
from kinograd.train.batching import TrainCompletion, TrainItem
from kinograd.train.learner import Learner
from kinograd.train.rl import train_rl
from kinograd.types import ORDERED, Cut, Example, Kind, Media, MediaType

IMAGE, VIDEO = MediaType.IMAGE, MediaType.VIDEO
BATCHES = {
    "text": [(), ()],
    "images": [((IMAGE, 1),), ((IMAGE, 1), (IMAGE, 1), (IMAGE, 1))],
    "several videos": [((VIDEO, 4), (VIDEO, 6)), ((VIDEO, 2),)],
    "all in one": [(), ((IMAGE, 1),), ((VIDEO, 4),), ((VIDEO, 2), (IMAGE, 1), (VIDEO, 6)), ()],
}
LENGTHS = [(4, 1, 6), (2,), (3, 5), (5, 2), (7,)]


def prompt(model: VideoLM, name: str, media) -> Prompt:
    """Random media of (type, frames), each of another size, in the order of the question."""
    rng = np.random.default_rng(len(name))
    examples = tuple(Media(t, Cut(())) for t, _ in media)
    taken = []
    for i, (type, n) in enumerate(media):
        frames = rng.integers(0, 256, (n, 3, 56 + 28 * i, 84)).astype(np.uint8)
        taken.append(model.medium(type, builders.clip(frames)))
    question = f"what {name} " + " and ".join(f"<{t.value}>" for t, _ in media) + "?"
    example = Example(name, Kind.FREE_FORM, question, "", examples)
    config = PromptConfig(template="plain")
    return encode(example, taken, config, model.tokenizer, model.family)


def make_tasks(model: VideoLM, batch) -> list[TrainItem]:
    rng = np.random.default_rng(0)
    return [
        TrainItem(
            prompt(model, "x" * (i + 1), media),
            tuple(
                TrainCompletion(
                    rng.integers(300, 400, n),
                    np.full(n, 1 / n, np.float32),
                    advantage=np.full(n, rng.standard_normal(), np.float32),
                )
                for n in lengths
            ),
        )
        for i, (media, lengths) in enumerate(zip(batch, LENGTHS, strict=False))
    ]


def plain(model: VideoLM, prompt: Prompt, completion: np.ndarray) -> torch.Tensor:
    """Log-probs of one completion by one whole plain forward."""
    tail = prompt.next_position + np.arange(len(completion))
    positions = np.concatenate([prompt.positions, np.broadcast_to(tail, (3, len(tail)))], 1)
    inputs = {}
    for type, pixels, grid in (
        (IMAGE, "pixel_values", "image_grid_thw"),
        (VIDEO, "pixel_values_videos", "video_grid_thw"),
    ):
        shown = [m for m in prompt.media if m.type is type]
        if shown:
            inputs[pixels] = torch.cat([m.pixels for m in shown])
            inputs[grid] = torch.tensor([m.grid for m in shown])
    ids = torch.from_numpy(np.concatenate([prompt.input_ids, completion]))[None]
    hf = model.lm.model
    logits = hf(input_ids=ids, position_ids=torch.from_numpy(positions)[:, None], **inputs).logits
    rows = logits[0, len(prompt.input_ids) - 1 : -1].log_softmax(-1)
    return rows.gather(1, torch.from_numpy(completion)[:, None])[:, 0]


def reinforce(batch: TokenBatch):
    loss = -(batch.weight * batch.advantage * batch.logprobs).sum()
    return loss, {"loss": loss.detach()}


def gradients(model: VideoLM) -> dict[str, torch.Tensor]:
    return {n: p.grad.clone() for n, p in model.lm.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("train_vision", [True, False])
@pytest.mark.parametrize("micro_tokens", [60, 100_000])
@pytest.mark.parametrize("batch", BATCHES)
def test_gradients_equal_plain_rows(tiny, batch, micro_tokens, train_vision):
    model = load(ModelConfig(path=str(tiny), device="cpu", train_vision=train_vision))
    tasks = make_tasks(model, BATCHES[batch])
    loss = sum(
        -(torch.from_numpy(c.weight * c.advantage) * plain(model, t.prompt, c.token_ids)).sum()
        for t in tasks
        for c in t.completions
    )
    loss.backward()
    expected = gradients(model)
    model.lm.zero_grad()
    learner = Learner(model, OptimConfig(micro_tokens=micro_tokens), total_steps=1)
    sums = learner.accumulate(tasks, reinforce)
    assert sums["loss"] == pytest.approx(float(loss.detach()), rel=1e-5)
    got = gradients(model)
    assert got.keys() == expected.keys()
    gap = sum(((got[n] - expected[n]) ** 2).sum() for n in got)
    assert (gap / sum((x**2).sum() for x in expected.values())).sqrt() < 1e-5
    seen = train_vision and batch != "text"
    assert any("visual" in n for n in got) == seen
    assert np.isfinite(learner.step()["grad_norm"])


def test_one_update_after_text_alone_leaves_the_tower_as_it_was(tiny):
    model = load(ModelConfig(path=str(tiny), device="cpu", train_vision=True))
    tower = model.family.tower(model.lm.model)
    before = {n: p.detach().clone() for n, p in tower.named_parameters()}
    learner = Learner(model, OptimConfig(weight_decay=0.1), total_steps=2)
    learner.accumulate(make_tasks(model, BATCHES["text"]), reinforce)
    learner.step()
    assert all(torch.equal(p, before[n]) for n, p in tower.named_parameters())
    learner.accumulate(make_tasks(model, BATCHES["all in one"]), reinforce)
    learner.step()
    assert not all(torch.equal(p, before[n]) for n, p in tower.named_parameters())
    assert model.lm.patches_seen == sum(
        len(m.pixels) for t in make_tasks(model, BATCHES["all in one"]) for m in t.prompt.media
    )


@pytest.mark.parametrize("batch", BATCHES)
def test_rollouts_of_mixed_batches_are_those_of_each_alone(tiny, batch):
    model = load(ModelConfig(path=str(tiny), device="cpu"))
    requests = [
        Request(Example(str(i), Kind.FREE_FORM, "?", "", ()), ORDERED, task.prompt, 2)
        for i, task in enumerate(make_tasks(model, BATCHES[batch]))
    ]
    engine, sampling = InProcessEngine(model, InProcess()), SamplingConfig(max_new_tokens=8)
    together = engine.generate(requests, sampling, key=(0,))
    for request, group in zip(requests, together, strict=True):
        alone = engine.generate([request], sampling, key=(0,))[0]
        for a, b in zip(group.rollouts, alone.rollouts, strict=True):
            assert a.token_ids.tolist() == b.token_ids.tolist()
            banned = torch.tensor(model.family.banned_tokens)
            ids = torch.from_numpy(a.token_ids)
            with torch.no_grad():
                lm, p = model.lm, len(request.prompt.input_ids)
                row = model.family.row(request.prompt, ids)
                logits = lm.model(**row).logits[0, p - 1 : -1].index_fill(1, banned, -torch.inf)
            expected = logits.log_softmax(-1).gather(1, ids[:, None])[:, 0]
            np.testing.assert_allclose(a.logprobs, expected.numpy(), atol=3e-5)


def variety(example, rollout) -> float:
    return int(rollout.token_ids.sum()) % 5 / 4


@pytest.mark.parametrize("algo", ["grpo", "t_grpo"])
def test_reinforcement_on_text_images_and_videos_at_once(
    recipe, world, tmp_path, monkeypatch, algo
):
    module = ModuleType("kinograd_test_mixed")
    module.variety = variety  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    rng = np.random.default_rng(0)
    (tmp_path / "media").mkdir()
    clip = json.loads((world / "train.jsonl").read_text().splitlines()[0])["media"][0]
    name = clip["path"]
    (tmp_path / "media" / "clip.mp4").write_bytes((world / name).read_bytes())
    pixels = rng.integers(0, 256, (56, 84, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "media" / "a.png")
    video, image = ({"type": t, "path": p} for t, p in (("video", "clip.mp4"), ("image", "a.png")))
    row = {"kind": "free_form", "question": "what?", "answer": "x"}
    media = [[], [image], [video], [video, image, image], []]
    data = tmp_path / "rows.jsonl"
    data.write_text(
        "".join(json.dumps(row | {"id": str(i), "media": m}) + "\n" for i, m in enumerate(media))
    )
    target = "kinograd_test_mixed:variety"
    config = recipe(
        "rl",
        {"data": {"media_root": str(tmp_path / "media"), "train": [str(data)]}},
        {"reward": {"format": "off", "custom": [{"target": target, "replaces": "accuracy"}]}},
        {"rl": {"prompts_per_step": 5}, "model": {"train_vision": True}, "algo": {"type": algo}},
    )
    train_rl(config)
    run = Path(config.run.dir)
    metrics = files.read_records(run / "metrics.jsonl")
    assert [m["step"] for m in metrics] == [1, 2]
    assert metrics[0]["policy/log_ratio"] < 1e-4  # the sampler is the learner
    assert {r["id"] for r in files.read_records(run / "rollouts" / "step-1.jsonl")} == set("01234")
    assert files.read_records(run / "quarantine.jsonl") == []
