from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinograd.algo.advantage import (
    ADVANTAGES,
    group_mean,
    group_std,
    leave_one_out,
    mean_std,
    normalise,
    sums,
    usable,
)
from kinograd.algo.aggregate import Totals, token_weights


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


def test_batch_std_is_the_same_on_two_processes():
    groups = [np.array([1.0, 0.0]), np.array([3.0, np.nan, 1.0])]
    whole = normalise(groups, "batch_std")
    other = sums(groups[1:])
    np.testing.assert_allclose(
        normalise(groups[:1], "batch_std", lambda mine: mine + other)[0], whole[0]
    )


def test_mean_std_of_all_finite_values():
    mean, std = mean_std(sums([np.array([2.0, 0.0, np.nan]), np.array([4.0])]))
    assert mean == pytest.approx(2.0)
    assert std == pytest.approx(2.0)  # squared deviations 0 + 4 + 4 over two


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
        ("sequence_sum", [1 / 2, 1 / 2]),
    ],
)
def test_token_weights(how, expected):
    weights = token_weights([1, 4], how, constant=10)
    assert [len(w) for w in weights] == [1, 4]
    np.testing.assert_allclose([w[0] for w in weights], expected, rtol=1e-6)


@pytest.mark.parametrize("how", ["sequence_mean", "token_mean", "constant", "sequence_sum"])
def test_shares_of_two_processes_make_up_the_whole(how):
    whole = token_weights([3, 1, 4], how, 10)
    over = Totals(3, 8)
    parts = [*token_weights([3], how, 10, over), *token_weights([1, 4], how, 10, over)]
    for a, b in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_response_without_tokens_that_count_has_no_weight():
    assert [len(w) for w in token_weights([0, 2], "sequence_mean")] == [0, 2]


@given(st.lists(st.integers(1, 40), min_size=1, max_size=9))
def test_means_have_total_weight_one(lengths):
    for how in ("sequence_mean", "token_mean"):
        assert sum(w.sum() for w in token_weights(lengths, how)) == pytest.approx(1, abs=1e-5)
