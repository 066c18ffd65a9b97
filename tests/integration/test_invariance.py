"""What may not change what is learned: how a batch is cut, ordered or decoded together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kinograd.algo.parts.aggregate import token_weights
from kinograd.algo.parts.loss import cross_entropy, policy_loss
from kinograd.config.rollout import InProcess, SamplingConfig
from kinograd.config.schema import ModelConfig, OptimConfig
from kinograd.datasets.jsonl import read_examples
from kinograd.models.load import VideoLM, load
from kinograd.models.prompt import Prompt, encode_response
from kinograd.models.reader import Reader
from kinograd.rollout.engine import Request
from kinograd.rollout.in_process import InProcessEngine
from kinograd.train.batching import TrainCompletion, TrainItem
from kinograd.train.learner import Learner, Loss
from kinograd.types import ORDERED, Example, Group, View, ViewKind
from kinograd.video.clip_store import ClipStore

Recipe = Callable[..., Any]
Read = Callable[..., Prompt]


@pytest.fixture
def model(tiny: Path) -> VideoLM:
    return load(ModelConfig(path=str(tiny), device="cpu", train_vision=True))


@pytest.fixture(scope="module")
def examples(world: Path) -> list[Example]:
    return read_examples(world / "train.jsonl")


@pytest.fixture
def read(model: VideoLM, recipe: Recipe) -> Iterator[Read]:
    config = recipe("sft")
    with ClipStore(config.video, config.data.media_root, model.geometry.size_factor) as store:
        yield Reader(model, store, config.prompt, seed=0).read


def gradients(model: VideoLM, tasks: list[TrainItem], loss: Loss, budget: int):
    learner = Learner(model, OptimConfig(micro_tokens=budget), total_steps=1)
    model.lm.zero_grad()
    sums = learner.accumulate(tasks, loss)
    return sums, {n: p.grad.clone() for n, p in model.lm.named_parameters() if p.grad is not None}


def distance(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> float:
    assert a.keys() == b.keys()
    gap = sum(((a[n] - b[n]) ** 2).sum() for n in a)
    return float((gap / sum((x**2).sum() for x in b.values())).sqrt())


def supervised(model: VideoLM, examples: list[Example], read: Read) -> list[TrainItem]:
    responses = [encode_response(e, model.tokenizer) for e in examples]
    weights = token_weights([len(r) for r in responses], "token_mean")
    return [
        TrainItem(read(e), (TrainCompletion(r, w),))
        for e, r, w in zip(examples, responses, weights, strict=True)
    ]


def reinforced(groups: list[Group], prompts: list[Prompt]) -> list[TrainItem]:
    lengths = [len(r.token_ids) for g in groups for r in g.rollouts]
    weights = iter(token_weights(lengths, "sequence_mean"))
    rng = np.random.default_rng(0)

    def completion(ids: np.ndarray, old: np.ndarray) -> TrainCompletion:
        advantage = np.full(len(ids), rng.standard_normal(), np.float32)
        drift = 0.2 * rng.standard_normal(len(ids)).astype(np.float32)
        sampler, ref = old + drift, old - drift
        return TrainCompletion(
            ids, next(weights), advantage, sampler_logprobs=sampler, ref_logprobs=ref
        )

    return [
        TrainItem(prompt, tuple(completion(r.token_ids, r.logprobs) for r in group.rollouts))
        for group, prompt in zip(groups, prompts, strict=True)
    ]


def sampled(
    model: VideoLM, examples: list[Example], read: Read, max_rows: int, n: int = 4
) -> list[Group]:
    requests = [Request(e, ORDERED, read(e), n) for e in examples]
    engine = InProcessEngine(model, InProcess(max_rows=max_rows))
    return engine.generate(requests, SamplingConfig(max_new_tokens=9), key=(5,))


def check(model: VideoLM, tasks: list[TrainItem], loss: Loss) -> None:
    sums, expected = gradients(model, tasks, loss, 10**9)
    for budget, order in ((1, 1), (150, 1), (150, -1), (10**9, -1)):
        other, found = gradients(model, tasks[::order], loss, budget)
        assert other == pytest.approx(sums, rel=1e-4, abs=1e-6)
        assert distance(found, expected) < 2e-5, (budget, order)


def test_supervised_gradients(model, examples, read) -> None:
    tasks = supervised(model, examples[:6], read)
    assert len({len(t.prompt.input_ids) for t in tasks}) > 1
    assert len({len(t.completions[0].token_ids) for t in tasks}) > 1
    check(model, tasks, cross_entropy)


def test_policy_gradients(model, examples, read, recipe: Recipe) -> None:
    algo = recipe("rl", {"algo": {"epochs": 2, "kl": {"beta": 0.1}}}).algo
    groups = sampled(model, examples[:4], read, 256)
    tasks = reinforced(groups, [read(e) for e in examples[:4]])
    check(model, tasks, partial(policy_loss, algo=algo))


def test_rollouts_do_not_depend_on_how_many_are_decoded_together(model, examples, read) -> None:
    whole = sampled(model, examples[:5], read, 256)
    assert len({tuple(r.token_ids) for g in whole for r in g.rollouts}) == 20
    for rows in (1, 8, 12):
        for a, b in zip(sampled(model, examples[:5], read, rows), whole, strict=True):
            assert a.example is b.example
            for x, y in zip(a.rollouts, b.rollouts, strict=True):
                np.testing.assert_array_equal(x.token_ids, y.token_ids)
                np.testing.assert_allclose(x.logprobs, y.logprobs, atol=2e-5)
                assert (x.text, x.stop) == (y.text, y.stop)


def test_more_rollouts_of_a_group_leave_the_first_as_they_were(model, examples, read) -> None:
    few, many = (sampled(model, examples[:2], read, 256, n) for n in (2, 5))
    for a, b in zip(few, many, strict=True):
        for x, y in zip(a.rollouts, b.rollouts[:2], strict=True):
            np.testing.assert_array_equal(x.token_ids, y.token_ids)


def test_pixels_reach_every_log_probability(model, examples, read) -> None:
    """Another clip under the same question: the same tokens get other chances."""
    (task,) = supervised(model, examples[:1], read)
    blank = TrainItem(read(examples[0], View(ViewKind.BLANK)), task.completions)
    learner = Learner(model, OptimConfig(), total_steps=1)
    (shown,), (hidden,) = learner.score([task, blank])
    assert np.abs(shown - hidden).min() > 1e-6
    assert np.abs(shown - hidden).max() > 1e-2


def test_the_tower_is_trained_through_the_loss(model, examples, read) -> None:
    _, found = gradients(model, supervised(model, examples[:2], read), cross_entropy, 10**9)
    tower = {n: g for n, g in found.items() if ".visual." in n}
    assert tower.keys() == {n for n, _ in model.lm.named_parameters() if ".visual." in n}
    assert all(g.abs().max() > 0 for g in tower.values())
