"""Architectures without an adapter against transformers' own forward and generate."""

from __future__ import annotations

import json
import logging
import shutil
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tests import builders
from transformers import AutoProcessor

import kinograd
from kinograd import files
from kinograd.algo.parts.loss import TokenBatch
from kinograd.config.rollout import InProcess, SamplingConfig
from kinograd.config.schema import ModelConfig, OptimConfig, PromptConfig
from kinograd.models.families.other import OtherVL
from kinograd.models.load import VideoLM, frozen_copy, load
from kinograd.models.media import Prompt
from kinograd.models.prompt import encode
from kinograd.models.replicated import ReplicatedLM
from kinograd.policy import CONTRACT
from kinograd.rollout.engine import Request
from kinograd.rollout.in_process import InProcessEngine
from kinograd.train.batching import TrainCompletion, TrainItem
from kinograd.train.learner import Learner
from kinograd.train.rl import train_rl
from kinograd.train.selfcheck import check_learner
from kinograd.types import ORDERED, Cut, Example, Kind, Media, MediaType, UsageError

NAMES = ["idefics3", "llava"]
IMAGE, VIDEO = MediaType.IMAGE, MediaType.VIDEO
MIXED = [(), ((IMAGE, 1),), ((VIDEO, 3),), ((IMAGE, 1), (VIDEO, 2), (IMAGE, 1))]


@pytest.fixture(params=NAMES)
def folder(request, other) -> Path:
    return other(request.param)


def opened(folder: Path, **options) -> VideoLM:
    return load(ModelConfig(path=str(folder), device="cpu", **options))


def ask_about(model: VideoLM, name: str, media) -> tuple[Request, list[np.ndarray]]:
    """A request about random media of (type, frames) each, and all their frames."""
    rng = np.random.default_rng(len(name) + len(media))
    shapes = [(n, 3, 40, 56) for _, n in media]
    frames = [rng.integers(0, 256, shape).astype(np.uint8) for shape in shapes]
    example = Example(
        name, Kind.FREE_FORM, f"what about {name}?", "", tuple(Media(t, Cut(())) for t, _ in media)
    )
    taken = [
        model.medium(m.type, c)
        for m, c in zip(example.media, map(builders.clip, frames), strict=True)
    ]
    prompt = encode(example, taken, PromptConfig(template="plain"), model.tokenizer, model.family)
    return Request(example, ORDERED, prompt, 3), [x for clip in frames for x in clip]


def requests(model: VideoLM) -> list[Request]:
    return [ask_about(model, "x" * (i + 1), media)[0] for i, media in enumerate(MIXED)]


def make_tasks(model: VideoLM) -> list[TrainItem]:
    rng = np.random.default_rng(0)
    lengths = [(4, 1, 6), (2,), (3, 5), (5, 2)]
    return [
        TrainItem(
            r.prompt,
            tuple(
                TrainCompletion(
                    rng.integers(300, 400, n),
                    np.full(n, 1 / n, np.float32),
                    advantage=np.full(n, rng.standard_normal(), np.float32),
                )
                for n in some
            ),
        )
        for r, some in zip(requests(model), lengths, strict=True)
    ]


def plain(model: VideoLM, prompt: Prompt, completion: np.ndarray) -> torch.Tensor:
    """Log-probs of one completion by transformers alone."""
    ids = torch.from_numpy(np.concatenate([prompt.input_ids, completion]))[None]
    pixels = {k: v for k, v in prompt.inputs.items() if k.startswith("pixel")}
    logits = model.lm.model(input_ids=ids, **pixels).logits[0, len(prompt.input_ids) - 1 : -1]
    return logits.log_softmax(-1).gather(1, torch.from_numpy(completion)[:, None])[:, 0]


def reinforce(batch: TokenBatch):
    loss = -(batch.weight * batch.advantage * batch.logprobs).sum()
    return loss, {"loss": loss.detach()}


def gradients(model: VideoLM) -> dict[str, torch.Tensor]:
    return {n: p.grad.clone() for n, p in model.lm.named_parameters() if p.grad is not None}


def test_the_prompt_is_the_processors(folder):
    model = opened(folder)
    request, frames = ask_about(model, "it", ((IMAGE, 1), (VIDEO, 2)))
    processor = AutoProcessor.from_pretrained(folder)
    text = "<|im_start|>user\n<image><image><image>what about it?<|im_end|>\n"
    made = processor(
        text=text + "<|im_start|>assistant\n",
        images=[Image.fromarray(f.transpose(1, 2, 0)) for f in frames],
        return_tensors="pt",
    )
    np.testing.assert_array_equal(request.prompt.input_ids, made["input_ids"][0].numpy())
    # Where torchvision is installed AutoProcessor resizes with it, else with Pillow: one grey
    # level, 1/255 over a standard deviation of at least 0.26.
    got = request.prompt.inputs["pixel_values"]
    torch.testing.assert_close(got, made["pixel_values"], atol=0.016, rtol=0)
    assert (
        request.prompt.is_media.sum() == (made["input_ids"] == model.family.banned_tokens[0]).sum()
    )


@pytest.mark.parametrize("micro_tokens", [1, 100_000])
@pytest.mark.parametrize(
    "options",
    [
        {"train_vision": True},
        {"gradient_checkpointing": True},
        {"lora": {"rank": 4, "targets": ["q_proj", "down_proj"]}},
    ],
)
def test_gradients_equal_plain_rows(folder, micro_tokens, options):
    model = opened(folder, **options)
    tasks = make_tasks(model)
    loss = sum(
        -(torch.from_numpy(c.weight * c.advantage) * plain(model, t.prompt, c.token_ids)).sum()
        for t in tasks
        for c in t.completions
    )
    loss.backward()
    expected = gradients(model)
    model.lm.zero_grad()
    sums = Learner(model, OptimConfig(micro_tokens=micro_tokens), total_steps=1).accumulate(
        tasks, reinforce
    )
    assert sums["loss"] == pytest.approx(float(loss.detach()), rel=1e-5)
    got = gradients(model)
    assert got.keys() == expected.keys()
    tower = {id(p) for p in model.family.tower(model.lm.model).parameters()}
    trained = {n for n, p in model.lm.named_parameters() if id(p) in tower} & got.keys()
    assert bool(trained) == bool(options.get("train_vision"))
    gap = sum(((got[n] - expected[n]) ** 2).sum() for n in got)
    assert (gap / sum((x**2).sum() for x in expected.values())).sqrt() < 1e-5


def test_scores_and_references_equal_plain_rows(folder):
    model = opened(folder)
    tasks = make_tasks(model)
    learner = Learner(model, OptimConfig(), total_steps=1)
    scores, again = learner.score(tasks), learner.score(tasks, frozen_copy(model.lm))
    with torch.no_grad():
        for task, rows, same in zip(tasks, scores, again, strict=True):
            for c, row, twin in zip(task.completions, rows, same, strict=True):
                expected = plain(model, task.prompt, c.token_ids).numpy()
                np.testing.assert_allclose(row, expected, atol=2e-5)
                np.testing.assert_allclose(twin, expected, atol=2e-5)


def test_rollout_logprobs_are_the_learners_whatever_runs_beside(folder):
    model = opened(folder)
    asked = requests(model)
    sampling = SamplingConfig(max_new_tokens=9, temperature=0.7)
    groups = InProcessEngine(model, InProcess()).generate(asked, sampling, key=(1,))
    alone = InProcessEngine(model, InProcess(max_rows=1)).generate(asked[::-1], sampling, key=(1,))
    tasks = [
        TrainItem(
            r.prompt,
            tuple(TrainCompletion(x.token_ids, np.ones(len(x.token_ids))) for x in g.rollouts),
        )
        for r, g in zip(asked, groups, strict=True)
    ]
    learner = Learner(model, OptimConfig(), total_steps=1, temperature=0.7, ban_vision=True)
    for group, other, rows in zip(groups, alone[::-1], learner.score(tasks), strict=True):
        for rollout, twin, row in zip(group.rollouts, other.rollouts, rows, strict=True):
            np.testing.assert_allclose(rollout.logprobs, row, atol=3e-5)
            assert rollout.token_ids.tolist() == twin.token_ids.tolist()
            assert not set(rollout.token_ids) & set(model.family.banned_tokens)


def test_greedy_equals_generate(folder):
    model = opened(folder)
    greedy = SamplingConfig(max_new_tokens=12, temperature=0)
    asked = requests(model)
    groups = InProcessEngine(model, InProcess()).generate(asked, greedy, key=(0,))
    model.lm.eval()
    for request, group in zip(asked, groups, strict=True):
        ids = torch.from_numpy(request.prompt.input_ids)[None]
        generated = model.lm.model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            **{k: v for k, v in request.prompt.inputs.items() if k.startswith("pixel")},
            do_sample=False,
            max_new_tokens=12,
            suppress_tokens=list(model.family.banned_tokens),
        )[0, ids.shape[1] :]
        for rollout in group.rollouts:
            assert rollout.token_ids.tolist() == generated.tolist()


def test_finished_prompts_make_room(folder):
    """Groups that end early leave the batch without a trace in the others."""
    model = opened(folder)
    bias = torch.zeros(len(model.lm.head_weight))
    asked = requests(model)
    sampling = SamplingConfig(max_new_tokens=40, temperature=2.5)
    model.lm.next_logits = lambda hidden, t, banned: (  # the end token now comes often
        type(model.lm).next_logits(model.lm, hidden, t, banned)
        + bias.index_fill(0, torch.tensor(model.end_tokens), 6.0)
    )
    groups = InProcessEngine(model, InProcess()).generate(asked, sampling, key=(3,))
    alone = [
        InProcessEngine(model, InProcess()).generate([r], sampling, key=(3,))[0] for r in asked
    ]
    longest = {max(len(r.token_ids) for r in g.rollouts) for g in groups}
    assert len(longest) > 1
    for group, single in zip(groups, alone, strict=True):
        for a, b in zip(group.rollouts, single.rollouts, strict=True):
            assert a.token_ids.tolist() == b.token_ids.tolist()


def test_it_says_that_rows_are_replicated_and_passes_the_self_check(other, caplog):
    with caplog.at_level(logging.WARNING, logger="kinograd"):
        model = opened(other("llava"))
    assert [r.levelname for r in caplog.records] == ["WARNING"]
    assert "'llava'" in caplog.text
    assert "replicated rows" in caplog.text
    assert not model.shares_prefix
    check = check_learner(model)
    assert check.patches_seen == check.patches == 3 * 4  # frames, once per completion


def test_kinograd_load_answers_as_generate_does(folder, tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (4, 40, 56, 3)).astype(np.uint8)
    Image.fromarray(frames[0]).save(tmp_path / "a.png")
    shutil.copytree(folder, tmp_path / "model")
    (tmp_path / "model" / CONTRACT).write_text(json.dumps({"prompt": {"template": "plain"}}))
    model = kinograd.load(tmp_path / "model", device="cpu")
    processor = AutoProcessor.from_pretrained(folder)
    question = Example("ask", Kind.FREE_FORM, "What is this?", "", ())
    for shown in (tmp_path / "a.png", frames):
        answer = model.ask(shown, "What is this?", max_new_tokens=6)
        _, prompt = model._read(question, shown, 2.0, ORDERED)
        (medium,) = prompt.media
        images = [Image.fromarray(f.transpose(1, 2, 0)) for f in medium.pixels]
        text = f"<|im_start|>user\n{'<image>' * len(images)}What is this?<|im_end|>\n"
        made = processor(text=text + "<|im_start|>assistant\n", images=images, return_tensors="pt")
        banned = list(model.policy.model.family.banned_tokens)
        hf = model.policy.model.lm.model.eval()
        out = hf.generate(**made, do_sample=False, max_new_tokens=6, suppress_tokens=banned)
        new = out[0, made["input_ids"].shape[1] :]
        assert answer.text == processor.tokenizer.decode(new, skip_special_tokens=True)


def test_positions_of_several_axes_go_on_from_each_prompt(tiny):
    """Qwen2.5-VL as a stranger: transformers keeps one M-RoPE offset, of the last prompt."""
    known = load(ModelConfig(path=str(tiny), device="cpu"))
    processor = SimpleNamespace(chat_template="-", image_processor=None)
    family = OtherVL(known.lm.model.config, processor, "")
    known.lm.model.set_attn_implementation("sdpa")
    lm = ReplicatedLM(known.lm.model, family, torch.float32)
    model = VideoLM(lm, known.tokenizer, known.geometry, "")
    asked, rng = [], np.random.default_rng(0)
    for i, (h, w) in enumerate([(2, 4), (8, 4), (0, 0)]):
        slots = np.array([False] * 4 + [True] * (h * w // 4) + [False] * 5)
        ids = np.where(slots, known.family.image_token, rng.integers(300, 400, len(slots)))
        inputs = {
            "pixel_values": torch.from_numpy(rng.standard_normal((h * w, 1176), np.float32)),
            "image_grid_thw": torch.tensor([[1, h, w]]),
            "mm_token_type_ids": torch.from_numpy(slots).int()[None],
        }
        inputs = inputs if h else {}  # the last one is text alone
        prompt = Prompt(ids, np.zeros((3, len(ids)), int), slots, (), inputs)
        example = Example(str(i), Kind.FREE_FORM, "what?", "", ())
        asked.append(Request(example, ORDERED, prompt, 2))
    sampling = SamplingConfig(max_new_tokens=6)
    groups = InProcessEngine(model, InProcess()).generate(asked, sampling, key=(0,))
    for request, group in zip(asked, groups, strict=True):
        for rollout in group.rollouts:
            row = family.row(request.prompt, torch.from_numpy(rollout.token_ids))
            with torch.no_grad():
                logits = lm.model(**row).logits[0, len(request.prompt.input_ids) - 1 : -1]
            logits[:, list(family.banned_tokens)] = float("-inf")
            ids = torch.from_numpy(rollout.token_ids)[:, None]
            expected = logits.log_softmax(-1).gather(1, ids)[:, 0].numpy()
            np.testing.assert_allclose(rollout.logprobs, expected, atol=3e-5)


def test_what_cannot_run_is_refused_in_words(other, tmp_path):
    for file in other("llava").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    kept = (tmp_path / "processor_config.json").rename(tmp_path / "kept")
    with pytest.raises(UsageError, match="own processor, and that cannot be loaded"):
        opened(tmp_path)
    kept.rename(tmp_path / "processor_config.json")
    kept = (tmp_path / "chat_template.jinja").rename(tmp_path / "kept")
    with pytest.raises(UsageError, match="no chat template"):
        opened(tmp_path)
    kept.rename(tmp_path / "chat_template.jinja")
    weights = load_file(tmp_path / "model.safetensors")
    save_file(
        {n: t for n, t in weights.items() if "lm_head" not in n}, tmp_path / "model.safetensors"
    )
    with pytest.raises(UsageError, match="lacks 1 of its weights"):
        opened(tmp_path)


def test_a_head_with_more_than_a_matrix_is_refused(other, monkeypatch):
    model = opened(other("llava"))
    forward = type(model.lm.model).forward

    def capped(self, *args, **kwargs):
        out = forward(self, *args, **kwargs)
        out.logits = 5 * torch.tanh(out.logits / 5)
        return out

    monkeypatch.setattr(type(model.lm.model), "forward", capped)
    with pytest.raises(UsageError, match="one matrix product"):
        opened(other("llava"))


def variety(example, rollout) -> float:
    return int(rollout.token_ids.sum()) % 5 / 4


def test_two_steps_of_reinforcement_on_images(folder, recipe, tmp_path, monkeypatch):
    module = ModuleType("kinograd_test_variety")
    module.variety = variety  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    rng, rows = np.random.default_rng(0), []
    for i in range(4):
        Image.fromarray(rng.integers(0, 256, (48, 64, 3)).astype(np.uint8)).save(
            tmp_path / f"{i}.png"
        )
        media = [{"type": "image", "path": f"{j}.png"} for j in range(i, min(i + 2, 4))]
        rows.append({"id": str(i), "kind": "free_form", "question": "what?", "answer": "x"})
        rows[-1] |= {"media": media}
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    target = "kinograd_test_variety:variety"
    config = recipe(
        "rl",
        {"model": {"path": str(folder)}},
        {"data": {"media_root": str(tmp_path), "train": [str(data)]}},
        {"reward": {"format": "off", "custom": [{"target": target, "replaces": "accuracy"}]}},
        {"algo": {"kl": {"beta": 0.05}}},
    )
    saved = train_rl(config)
    metrics = files.read_records(Path(config.run.dir) / "metrics.jsonl")
    assert [m["step"] for m in metrics] == [1, 2]
    assert metrics[0]["optim/grad_norm"] > 0
    assert metrics[0]["policy/log_ratio"] < 1e-4  # the sampler is the learner
    before, after = (load_file(p / "model.safetensors") for p in (folder, saved))
    assert any(not torch.equal(before[n], after[n]) for n in before)
    assert kinograd.load(saved, device="cpu").ask(tmp_path / "0.png", "what?", max_new_tokens=3)
