"""Advantages with statistics of the whole batch, against numbers worked out by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest

from kinograd.algo.advantage import group_std, sums
from kinograd.algo.batch import ema_grpo, gdpo, reinforce_pp, updated_moments, whiten


def no_penalty(*lengths: int) -> list[np.ndarray]:
    return [np.zeros(n) for n in lengths]


def test_reinforce_pp_counts_tokens_by_hand():
    # Two responses of one and three tokens, rewards 2 and 0. Over tokens: 2, 0, 0, 0 with
    # mean 0.5 and unbiased variance (2.25 + 3 * 0.25) / 3 = 1.
    (rows,) = reinforce_pp([np.array([2.0, 0.0])], [no_penalty(1, 3)], baseline=False)
    np.testing.assert_allclose(rows[0], [1.5], rtol=1e-6)
    np.testing.assert_allclose(rows[1], [-0.5] * 3, rtol=1e-6)


def test_reinforce_pp_penalty_is_a_reward_to_go_by_hand():
    # R = 1 and penalties 1, 2: A_1 = 1 - 3, A_2 = 1 - 2; the other response has R = 0.
    # Values -2, -1, 0: mean -1, unbiased std 1.
    penalties = [np.array([1.0, 2.0]), np.zeros(1)]
    (rows,) = reinforce_pp([np.array([1.0, 0.0])], [penalties], baseline=False)
    np.testing.assert_allclose(np.concatenate(rows), [-1, 0, 1], atol=1e-6)


def test_reinforce_pp_baseline_subtracts_the_groups_mean_first():
    # Group means 0.5 and 10.5 go; what is left, +-0.5 four times, has variance 1/3.
    rewards = [np.array([1.0, 0.0]), np.array([11.0, 10.0])]
    rows = reinforce_pp(rewards, [no_penalty(1, 1)] * 2, baseline=True)
    expected = 0.5 / np.sqrt(1 / 3)
    np.testing.assert_allclose(np.concatenate(rows[1]), [expected, -expected], rtol=1e-6)
    plain = reinforce_pp(rewards, [no_penalty(1, 1)] * 2, baseline=False)
    assert plain[1][1] > 0 > plain[0][0]  # without it an easy group is always good


def test_reinforce_pp_leaves_unscored_rollouts_out():
    (rows,) = reinforce_pp([np.array([1.0, np.nan, 0.0])], [no_penalty(1, 2, 1)], baseline=False)
    assert np.isnan(rows[1]).all()
    np.testing.assert_allclose([rows[0][0], rows[2][0]], [0.5 / np.sqrt(0.5), -0.5 / np.sqrt(0.5)])


def test_gdpo_by_hand():
    # accuracy 1, 0 and format 0, 1 have std sqrt(0.5), so their advantages are +-a with
    # a = 0.5 / (sqrt(0.5) + 1e-4). Weighted 2 : 1 that is (2a - a, -2a + a) = (a, -a).
    # The second group: accuracy 1, 0 again, format equal: (2a, -2a).
    # Batch: a, -a, 2a, -2a: mean 0, std sqrt(10 a^2 / 3).
    a = 0.5 / (np.sqrt(0.5) + 1e-4)
    parts = [
        {"accuracy": np.array([1.0, 0.0]), "format": np.array([0.0, 1.0])},
        {"accuracy": np.array([1.0, 0.0]), "format": np.array([1.0, 1.0])},
    ]
    got = gdpo(parts, {"accuracy": 2.0, "format": 1.0})
    scale = np.sqrt(10 * a * a / 3) + 1e-4
    np.testing.assert_allclose(got, np.array([[a, -a], [2 * a, -2 * a]]) / scale)


def test_gdpo_keeps_apart_what_grpo_confuses():
    """The paper's example: totals 0, 1 and 0, 2 look alike once each group is standardised;
    being better in two rewards is worth twice as much as in one."""
    one, two = np.array([0.0, 1.0]), np.array([0.0, 0.0])
    parts = [{"a": one, "b": two}, {"a": one, "b": one}]
    np.testing.assert_allclose(*[group_std(p["a"] + p["b"]) for p in parts], rtol=1e-3)
    first, second = gdpo(parts, {"a": 1.0, "b": 1.0})
    np.testing.assert_allclose(second, 2 * first)


def test_gdpo_without_a_part_and_without_a_score():
    nan = np.nan
    (got,) = gdpo([{"a": np.array([1.0, 0.0, nan, nan]), "b": np.array([nan, nan, nan, 1.0])}],
                  {"a": 1.0, "b": 1.0})  # fmt: skip
    assert np.isnan(got[2])  # no reward at all: unscored
    assert np.isnan(got[3])  # its only reward has nothing to be compared with
    np.testing.assert_allclose(got[:2], [np.sqrt(0.5), -np.sqrt(0.5)], rtol=1e-3)


def test_moments_by_hand():
    first = updated_moments({}, ["ocr"], [np.array([1.0, 0.0])], decay=0.9, every_kind=["ocr"])
    assert first == {"ocr": [0.5, 0.5]}  # a new kind starts with its batch
    # E[R] = 0.9 * 0.5 + 0.1 * 2, E[R^2] = 0.9 * 0.5 + 0.1 * 4
    second = updated_moments(first, ["ocr"], [np.array([2.0, 2.0])], decay=0.9, every_kind=["ocr"])
    np.testing.assert_allclose(second["ocr"], [0.65, 0.85])


def test_moments_survive_json_and_leave_other_kinds_alone():
    state = {"ocr": [0.1 + 0.2, 1 / 3]}
    read = json.loads(json.dumps(state))
    after = updated_moments(
        read, ["caption"], [np.array([1.0, 0.0])], decay=0.99, every_kind=["ocr", "caption"]
    )
    assert after["ocr"] == state["ocr"]


def test_moments_are_the_same_on_two_processes():
    kinds, rewards = ["a", "b"], [np.array([1.0, 0.0]), np.array([0.5, 0.25])]
    whole = updated_moments({}, kinds, rewards, decay=0.9, every_kind=kinds)
    other = np.stack([np.zeros(3), sums(rewards[1:])])
    mine = updated_moments({}, ["a"], rewards[:1], decay=0.9, every_kind=kinds,
                           reduce=lambda table: table + other)  # fmt: skip
    assert mine == whole


def test_ema_grpo_by_hand():
    # sigma of the kind: sqrt(0.85 - 0.65^2) = 0.65383; centred rewards are +-0.5
    got = ema_grpo([np.array([1.0, 0.0])], ["ocr"], {"ocr": [0.65, 0.85]}, min_std=1e-3, guard=5.0)
    sigma = np.sqrt(0.85 - 0.65**2) + 1e-6
    np.testing.assert_allclose(got[0], [0.5 / sigma, -0.5 / sigma])


def test_ema_grpo_guard_falls_back_to_the_groups_own_std():
    # sigma = 0.01 would give 50; the group's own std over G is 0.5
    moments = {"ocr": [0.0, 1e-4]}
    got = ema_grpo([np.array([1.0, 0.0])], ["ocr"], moments, min_std=1e-3, guard=5.0)
    np.testing.assert_allclose(got[0], [1.0, -1.0], rtol=1e-5)
    free = ema_grpo([np.array([1.0, 0.0])], ["ocr"], moments, min_std=1e-3, guard=None)
    np.testing.assert_allclose(free[0], [50.0, -50.0], rtol=1e-3)


def test_whitened_values_have_mean_zero_and_unit_variance():
    rng = np.random.default_rng(0)
    flat = np.concatenate(whiten([rng.normal(3, 5, 40), rng.normal(-1, 2, 60)], epsilon=0.0))
    assert flat.mean() == pytest.approx(0, abs=1e-12)
    assert flat.std(ddof=1) == pytest.approx(1)
