"""Scored groups to items, items to weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests import builders
from tests.builders import text_prompt

from kinograd.algo.base import Advantages
from kinograd.config.schema import ModelConfig, OptimConfig
from kinograd.models.load import VideoLM, load
from kinograd.models.prompt import Prompt
from kinograd.train.batching import TrainCompletion, TrainItem
from kinograd.train.groups import (
    TrainGroup,
    assign_token_weights,
    make_train_item,
    make_train_items,
    update,
)
from kinograd.train.learner import Learner
from kinograd.types import Group

PROMPT = text_prompt()


def group(*lengths: int, twin: Group | None = None) -> Group:
    return builders.group([builders.rollout(length=n, logprob=-1.0) for n in lengths], twin=twin)


def test_rollouts_without_an_advantage_are_left_out() -> None:
    item = make_train_item(group(1, 2, 3), PROMPT, np.array([0.5, np.nan, -0.5]))
    assert [len(c.token_ids) for c in item.completions] == [1, 3]
    assert [c.advantage.tolist() for c in item.completions] == [[0.5], [-0.5] * 3]
    assert all(c.sampler_logprobs.tolist() == [-1.0] * len(c.token_ids) for c in item.completions)


def test_advantages_per_token_take_the_place_of_one_per_rollout() -> None:
    tokens = [np.array([1.0, 2.0]), np.array([np.nan]), np.array([3.0])]
    item = make_train_item(group(2, 1, 1), PROMPT, np.array([1.5, np.nan, 3.0]), tokens)
    assert [c.advantage.tolist() for c in item.completions] == [[1, 2], [3]]


def test_a_group_whose_rollouts_all_lack_an_advantage_has_no_task() -> None:
    nothing = Advantages([np.array([np.nan, np.nan])])
    assert make_train_items([TrainGroup(group(1, 1), PROMPT)], nothing) == ([], [])


def test_dropped_groups_have_no_task_and_trained_twins_have_one() -> None:
    shown = Prompt(*vars(PROMPT).values())
    samples = [
        TrainGroup(group(1, 1), PROMPT),
        TrainGroup(group(1, 1, twin=group(2, 2)), PROMPT, shown),
        TrainGroup(group(1, 1, twin=group(2, 2)), PROMPT, shown),
    ]
    values = np.array([1.0, -1.0])
    result = Advantages([None, values, values], twins=[None, None, values])
    items, owners = make_train_items(samples, result)
    assert [t.prompt for t in items] == [PROMPT, PROMPT, shown]
    assert owners[2].group is samples[2].group.twin
    assert [len(c.token_ids) for c in items[2].completions] == [2, 2]


def item(*advantages: list[float], keep: list[bool] | None = None) -> TrainItem:
    return TrainItem(
        PROMPT,
        tuple(
            TrainCompletion(
                np.zeros(len(a), np.int64),
                np.zeros(len(a), np.float32),
                np.array(a, np.float32),
                keep=None if keep is None else np.array(keep[: len(a)]),
            )
            for a in advantages
        ),
    )


@pytest.fixture
def config(recipe: Callable[..., Any]) -> Callable[..., Any]:
    return lambda **algo: recipe("rl", {"algo": algo})


def weights(items: list[TrainItem]) -> list[list[float]]:
    return [c.weight.tolist() for t in items for c in t.completions]


def test_a_group_that_cannot_teach_counts_in_the_normalisers_all_the_same(config) -> None:
    items = [item([1.0], [-1.0]), item([0.0], [0.0])]
    assert weights(assign_token_weights(items, config().algo, 768)) == [[0.25], [0.25]]
    with_kl = assign_token_weights(items, config(kl={"beta": 0.1}).algo, 768)
    assert weights(with_kl) == [[0.25]] * 4  # KL teaches all


def test_tokens_that_are_not_kept_count_nowhere(config) -> None:
    items = [item([1.0, 1.0, 1.0, 1.0], [-1.0, -1.0], keep=[True, False, False, True])]
    assert weights(assign_token_weights(items, config().algo, 768)) == [
        [0.25, 0, 0, 0.25],
        [0.5, 0],
    ]
    token_mean = np.float32(1 / 3)
    by_token = weights(assign_token_weights(items, config(aggregate="token_mean").algo, 768))
    assert by_token == [[token_mean, 0, 0, token_mean], [token_mean, 0]]


def test_nothing_to_weigh(config) -> None:
    assert assign_token_weights([], config().algo, 768) == []
    assert assign_token_weights([item([1.0], keep=[False])], config().algo, 768) == []


def test_what_teaches() -> None:
    ids, nothing = np.zeros(2, np.int64), np.zeros(2, np.float32)
    assert not TrainCompletion(ids, nothing).teaches
    assert not TrainCompletion(ids, nothing, nothing).teaches
    assert TrainCompletion(ids, nothing, np.array([0.0, 0.1])).teaches


class Watched(Learner):
    """A learner that notes the minibatches it is given."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.seen: list[list[int]] = []

    def accumulate(self, items: Any, *rest: Any, **options: Any) -> dict[str, float]:
        self.seen.append([int(t.completions[0].token_ids[0]) for t in items])
        return super().accumulate(items, *rest, **options)


@pytest.fixture(scope="module")
def model(tiny: Path) -> VideoLM:
    return load(ModelConfig(path=str(tiny), device="cpu"))


@pytest.fixture
def learner(model: VideoLM) -> Watched:
    return Watched(model, OptimConfig(lr=1e-9), total_steps=10)


def named(token: int, *advantages: float) -> TrainItem:
    """A prompt of text; its responses are one token each, which names the item."""
    ids = np.arange(20, 25)
    prompt = Prompt(ids, np.tile(np.arange(5), (3, 1)), np.zeros(5, bool), ())
    one = np.array([token])
    sampled = np.full(1, -6.0, np.float32)
    zero = np.zeros(1, np.float32)
    return TrainItem(
        prompt,
        tuple(
            TrainCompletion(one, zero, np.array([a], np.float32), sampler_logprobs=sampled)
            for a in advantages
        ),
    )


def test_every_pass_splits_the_batch_anew(learner: Watched, config) -> None:
    items = [named(30 + i, 1.0, -1.0) for i in range(5)]
    recipe = config(epochs=2, minibatches=2)
    figures = update(learner, items, recipe, step=3)
    assert figures["optim/updates"] == 4 == len(learner.seen) == learner.updates
    first, second = learner.seen[:2], learner.seen[2:]
    for part in (first, second):
        assert [len(p) for p in part] == [3, 2]
        assert sorted(part[0] + part[1]) == list(range(30, 35))
    assert first != second
    seen, learner.seen = learner.seen, []
    update(learner, items, recipe, step=3)
    assert learner.seen == seen  # a resumed step makes the same minibatches
    learner.seen = []
    update(learner, items, recipe, step=4)
    assert learner.seen != seen


def test_the_loss_that_is_logged_is_the_loss(learner: Watched, config) -> None:
    """On policy the ratio is one: the mean over all four responses of minus the advantage,
    those of the group that cannot teach included."""
    figures = update(learner, [named(30, 1.0, -0.5), named(31, 0.0, 0.0)], config(), step=0)
    assert learner.seen == [[30]]
    assert figures["policy/loss"] == pytest.approx(-(1.0 - 0.5) / 4)
    assert figures["optim/updates"] == 1


def test_nothing_to_learn_is_no_update(learner: Watched, config) -> None:
    assert update(learner, [named(30, 0.0, 0.0)], config(), step=0) == {"optim/updates": 0}
    assert update(learner, [], config(minibatches=3), step=0) == {"optim/updates": 0}
    figures = update(learner, [named(30, 1.0, -1.0)], config(minibatches=3), step=0)
    assert figures["optim/updates"] == 1  # two of the three minibatches are empty
