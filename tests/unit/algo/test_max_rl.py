"""MaxRL against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
from tests.builders import scored_group

from kinograd.algo.max_rl import MaxRl, relative_to_mean


def test_max_rl_by_hand():
    # Rewards 2, 1 and 0 (the format reward is part of them): mean 1
    (advantages,) = MaxRl().advantages([scored_group([1, 0, 0], [1, 1, 0])]).groups
    np.testing.assert_allclose(advantages, [1, 0, -1])


def test_a_rare_success_counts_as_much_as_all_frequent_ones():
    """With rewards 0 and 1 the successes of any group add up to G - successes."""
    for successes in (1, 2, 4):
        rewards = np.array([1.0] * successes + [0.0] * (8 - successes))
        assert relative_to_mean(rewards)[:successes].sum() == 8 - successes


def test_unscored_rollouts_neither_count_nor_get_an_advantage():
    got = relative_to_mean(np.array([1.0, np.nan, 0.0]))
    np.testing.assert_allclose(got, [1, np.nan, -1])


def test_a_group_without_reward_teaches_nothing():
    np.testing.assert_array_equal(relative_to_mean(np.array([0.0, np.nan, 0.0])), [0, np.nan, 0])
    np.testing.assert_array_equal(relative_to_mean(np.array([-1.0, 0.0])), [0, 0])
