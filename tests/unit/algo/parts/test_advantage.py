from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinograd.algo.parts.advantage import (
    ADVANTAGES,
    group_mean,
    group_std,
    is_comparable,
    leave_one_out,
    mean_std,
    normalise,
    whiten,
)


def test_group_std_by_hand():
    # mean 0.25, unbiased std sqrt(3 * 0.0625 + 0.5625)/3) = 0.5
    got = group_std(np.array([1.0, 0.0, 0.0, 0.0]))
    np.testing.assert_allclose(got, np.array([0.75, -0.25, -0.25, -0.25]) / (0.5 + 1e-4))


def test_leave_one_out_by_hand():
    np.testing.assert_allclose(
        leave_one_out(np.array([1.0, 0.0, 0.5])), [1 - 0.25, 0 - 0.75, 0.5 - 0.5]
    )


def test_batch_std_by_hand():
    # Group means 0.5 and 2; all rewards 1, 0, 3, 1 have mean 1.25 and squared deviations
    # 0.0625 + 1.5625 + 3.0625 + 0.0625 = 4.75, so std = sqrt(4.75 / 3) = 1.2583
    got = normalise([np.array([1.0, 0.0]), np.array([3.0, 1.0])], "batch_std")
    std = np.sqrt(4.75 / 3) + 1e-4
    np.testing.assert_allclose(got, np.array([[0.5, -0.5], [1.0, -1.0]]) / std)


def test_mean_std_of_all_finite_values():
    mean, std = mean_std([np.array([2.0, 0.0, np.nan]), np.array([4.0])])
    assert mean == pytest.approx(2.0)
    assert std == pytest.approx(2.0)  # squared deviations 0 + 4 + 4 over two


def test_unscored_rollouts_neither_count_nor_get_an_advantage():
    values = np.array([1.0, np.nan, 0.0, 0.0])
    for name, function in ADVANTAGES.items():
        with_gap, without = function(values), function(values[[0, 2, 3]])
        assert np.isnan(with_gap[1]), name
        np.testing.assert_allclose(with_gap[[0, 2, 3]], without)


def test_comparing_needs_two_scores():
    assert is_comparable(np.array([1.0, np.nan, 0.0]))
    assert not is_comparable(np.array([1.0, np.nan, np.nan]))


@given(st.lists(st.floats(-2, 2), min_size=2, max_size=16))
def test_advantages_sum_to_zero(values):
    for function in ADVANTAGES.values():
        assert abs(function(np.array(values)).sum()) < 1e-6 * max(1, len(values)) / 1e-4


def test_equal_rewards_teach_nothing():
    for function in (group_std, group_mean, leave_one_out):
        np.testing.assert_array_equal(function(np.full(4, 0.7)).round(9), np.zeros(4))


def test_whitened_values_have_mean_zero_and_unit_variance():
    rng = np.random.default_rng(0)
    flat = np.concatenate(whiten([rng.normal(3, 5, 40), rng.normal(-1, 2, 60)], epsilon=0.0))
    assert flat.mean() == pytest.approx(0, abs=1e-12)
    assert flat.std(ddof=1) == pytest.approx(1)
