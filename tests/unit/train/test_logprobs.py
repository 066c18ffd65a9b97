"""No-grad scoring with a real model: KL in the reward, old log-probs, key tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from kinograd.train.groups import TrainGroup, make_train_item
from kinograd.train.learner import Learner
from kinograd.train.logprobs import (
    add_old_logprobs,
    add_ref_logprobs,
    keep_selected_tokens,
    reward_penalties,
)
from kinograd.train.sampling import roll_out
from kinograd.train.session import Session, open_session
from kinograd.types import Score, Unscored

SCORES = (Score(1.0), Score.none(Unscored.JUDGE_TIMEOUT), Score(0.0), Score(0.0))


@pytest.fixture
def opened(
    recipe: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., tuple[Session, Any]]]:
    """A session on a new run folder, and its recipe."""

    def make(**algo: Any) -> tuple[Session, Any]:
        folder = tmp_path_factory.mktemp("run")
        config = recipe("rl", {"run": {"dir": str(folder)}, "algo": algo})
        learner = partial(Learner, config=config.optim, total_steps=1, ban_vision=True)
        return stack.enter_context(open_session(config, learner)), config

    with ExitStack() as stack:
        yield make


def sampled(session: Session) -> list[TrainGroup]:
    """Two groups of four, the second rollout of each without a score."""
    pairs = session.read(session.examples[:2], 0)
    samples = roll_out(session, pairs, 0)
    return [replace(s, group=replace(s.group, scores=SCORES)) for s in samples]


def items_of(samples: list[TrainGroup]) -> list[Any]:
    return [make_train_item(s.group, s.prompt, s.group.values) for s in samples]


def disturb(session: Session) -> None:
    """Move the policy away from where it started."""
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in session.policy.model.lm.parameters():
            if p.requires_grad and p.ndim >= 2:
                p += 0.02 * torch.randn(p.shape, generator=rng)


def test_penalty_is_beta_times_log_policy_over_reference(opened) -> None:
    session, config = opened(type="rloo", kl={"beta": 0.5})
    before, _ = opened(type="rloo")
    disturb(session)
    samples = sampled(session)
    penalties = reward_penalties(samples, config.algo, session.learner, session.reference)
    reference = before.learner.score(items_of(samples))  # another model, never disturbed
    assert penalties is not None
    for sample, rows, refs in zip(samples, penalties, reference, strict=True):
        scored = [r for r, s in zip(sample.group.rollouts, SCORES, strict=True) if not s.unscored]
        assert rows[1].tolist() == [0.0] * len(sample.group.rollouts[1].token_ids)
        for rollout, row, ref in zip(scored, [rows[0], *rows[2:]], refs, strict=True):
            np.testing.assert_allclose(row, 0.5 * (rollout.logprobs - ref), atol=1e-5)
            assert abs(row).max() > 1e-3
    assert (
        add_ref_logprobs(items_of(samples), config.algo, session.learner, session.reference)[0]
        .completions[0]
        .ref_logprobs
        is None
    )


def test_kl_in_the_loss_takes_nothing_off_the_reward(opened) -> None:
    session, config = opened(type="grpo", kl={"beta": 0.5})
    samples = sampled(session)
    assert reward_penalties(samples, config.algo, session.learner, session.reference) is None
    (first, *_) = add_ref_logprobs(
        items_of(samples), config.algo, session.learner, session.reference
    )
    for c in first.completions:
        np.testing.assert_allclose(
            c.ref_logprobs, c.sampler_logprobs, atol=1e-4
        )  # nothing has moved yet


def test_correction_by_hand(opened) -> None:
    """A sampler that reports every log-prob log 2 too high: the ratio of a token is a half."""
    correction = {"level": "token", "how": "truncate", "high": 2.0}
    session, config = opened(type="grpo", old="learner", correction=correction)
    items = items_of(sampled(session))
    wrong = [
        replace(
            t,
            completions=tuple(
                replace(c, sampler_logprobs=c.sampler_logprobs + np.float32(np.log(2)))
                for c in t.completions
            ),
        )
        for t in items
    ]
    fixed, metrics = add_old_logprobs(wrong, config.algo, session.learner)
    for item, true in zip(fixed, items, strict=True):
        for c, t in zip(item.completions, true.completions, strict=True):
            np.testing.assert_allclose(c.old_logprobs, t.sampler_logprobs, atol=1e-4)
            np.testing.assert_allclose(c.importance, 0.5, rtol=1e-3)
    assert metrics["correction/mean"] == pytest.approx(0.5, rel=1e-3)
    assert metrics["correction/zero"] == 0


def test_the_sampler_is_believed_by_default(opened) -> None:
    session, config = opened(type="grpo")
    items = items_of(sampled(session))
    assert add_old_logprobs(items, config.algo, session.learner) == (items, {})


def test_key_tokens_are_those_that_lose_most(opened) -> None:
    """Against log-probs and entropies computed here, for one signal at a time."""
    session, config = opened(type="video_ktr", entropy=0.3, visual=0.0, temporal=0.0)
    samples = sampled(session)
    items = items_of(samples)
    focused, metrics = keep_selected_tokens(
        items, samples, config.algo, session.learner, session.policy.reader, 0
    )
    _, entropies = session.learner.statistics(items)
    for item, rows in zip(focused, entropies, strict=True):
        flat = np.concatenate(rows)
        kept = np.concatenate([c.keep for c in item.completions])
        assert kept.mean() >= 0.3
        assert flat[kept].min() > flat[~kept].max()
    share = np.concatenate([c.keep for t in focused for c in t.completions]).mean()
    assert metrics == {"key_tokens/share": pytest.approx(share)}


def test_a_group_without_advantages_is_not_scored(opened) -> None:
    session, config = opened(type="video_ktr")
    (sample, other) = sampled(session)
    items = [make_train_item(sample.group, sample.prompt, np.zeros(4)), items_of([other])[0]]
    focused, _ = keep_selected_tokens(
        items, [sample, other], config.algo, session.learner, session.policy.reader, 0
    )
    assert all(c.keep is None for c in focused[0].completions)
    assert all(c.keep is not None for c in focused[1].completions)
