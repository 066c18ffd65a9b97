from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinograd.algo.advantage import ADVANTAGES, group_mean, group_std, leave_one_out, usable
from kinograd.algo.aggregate import token_weights


def test_group_std_by_hand():
    # mean 0.25, unbiased std sqrt(3 * 0.0625 + 0.5625)/3) = 0.5
    got = group_std(np.array([1.0, 0.0, 0.0, 0.0]))
    np.testing.assert_allclose(got, np.array([0.75, -0.25, -0.25, -0.25]) / (0.5 + 1e-4))


def test_leave_one_out_by_hand():
    np.testing.assert_allclose(
        leave_one_out(np.array([1.0, 0.0, 0.5])), [1 - 0.25, 0 - 0.75, 0.5 - 0.5]
    )


def test_unscored_rollouts_neither_count_nor_get_an_advantage():
    values = np.array([1.0, np.nan, 0.0, 0.0])
    for name, function in ADVANTAGES.items():
        with_gap, without = function(values), function(values[[0, 2, 3]])
        assert np.isnan(with_gap[1]), name
        np.testing.assert_allclose(with_gap[[0, 2, 3]], without)


def test_usable_needs_two_scores():
    assert usable(np.array([1.0, np.nan, 0.0]))
    assert not usable(np.array([1.0, np.nan, np.nan]))


@given(st.lists(st.floats(-2, 2), min_size=2, max_size=16))
def test_advantages_sum_to_zero(values):
    for function in ADVANTAGES.values():
        assert abs(function(np.array(values)).sum()) < 1e-6 * max(1, len(values)) / 1e-4


def test_equal_rewards_teach_nothing():
    for function in (group_std, group_mean, leave_one_out):
        np.testing.assert_array_equal(function(np.full(4, 0.7)).round(9), np.zeros(4))


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("sequence_mean", [1 / 2, 1 / 8]),
        ("token_mean", [1 / 5, 1 / 5]),
        ("constant", [1 / 20, 1 / 20]),
    ],
)
def test_token_weights(how, expected):
    weights = token_weights([1, 4], how, constant=10)
    assert [len(w) for w in weights] == [1, 4]
    np.testing.assert_allclose([w[0] for w in weights], expected, rtol=1e-6)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=9))
def test_means_have_total_weight_one(lengths):
    for how in ("sequence_mean", "token_mean"):
        assert sum(w.sum() for w in token_weights(lengths, how)) == pytest.approx(1, abs=1e-5)
