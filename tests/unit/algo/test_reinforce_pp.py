"""REINFORCE++ against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
from tests.builders import scored_group

from kinograd.algo.reinforce_pp import ReinforcePP, token_advantages


def no_penalty(*lengths: int) -> list[np.ndarray]:
    return [np.zeros(n) for n in lengths]


def test_reinforce_pp_counts_tokens_by_hand():
    # Two responses of one and three tokens, rewards 2 and 0. Over tokens: 2, 0, 0, 0 with
    # mean 0.5 and unbiased variance (2.25 + 3 * 0.25) / 3 = 1.
    (rows,) = token_advantages([np.array([2.0, 0.0])], [no_penalty(1, 3)], baseline=False)
    np.testing.assert_allclose(rows[0], [1.5], rtol=1e-6)
    np.testing.assert_allclose(rows[1], [-0.5] * 3, rtol=1e-6)


def test_reinforce_pp_penalty_is_a_reward_to_go_by_hand():
    # R = 1 and penalties 1, 2: A_1 = 1 - 3, A_2 = 1 - 2; the other response has R = 0.
    # Values -2, -1, 0: mean -1, unbiased std 1.
    penalties = [np.array([1.0, 2.0]), np.zeros(1)]
    (rows,) = token_advantages([np.array([1.0, 0.0])], [penalties], baseline=False)
    np.testing.assert_allclose(np.concatenate(rows), [-1, 0, 1], atol=1e-6)


def test_reinforce_pp_baseline_subtracts_the_groups_mean_first():
    # Group means 0.5 and 10.5 go; what is left, +-0.5 four times, has variance 1/3.
    rewards = [np.array([1.0, 0.0]), np.array([11.0, 10.0])]
    rows = token_advantages(rewards, [no_penalty(1, 1)] * 2, baseline=True)
    expected = 0.5 / np.sqrt(1 / 3)
    np.testing.assert_allclose(np.concatenate(rows[1]), [expected, -expected], rtol=1e-6)
    plain = token_advantages(rewards, [no_penalty(1, 1)] * 2, baseline=False)
    assert plain[1][1] > 0 > plain[0][0]  # without it an easy group is always good


def test_reinforce_pp_leaves_unscored_rollouts_out():
    (rows,) = token_advantages(
        [np.array([1.0, np.nan, 0.0])], [no_penalty(1, 2, 1)], baseline=False
    )
    assert np.isnan(rows[1]).all()
    np.testing.assert_allclose([rows[0][0], rows[2][0]], [0.5 / np.sqrt(0.5), -0.5 / np.sqrt(0.5)])


def test_reinforce_pp_shows_means_and_teaches_tokens():
    # The same numbers as in the first test: over tokens 2, 0, 0, 0
    result = ReinforcePP().advantages([scored_group([1, 0], [1, 0], lengths=[1, 3])])
    np.testing.assert_allclose(result.groups[0], [1.5, -0.5], rtol=1e-6)
    assert [len(t) for t in result.tokens[0]] == [1, 3]


def test_a_response_without_tokens_is_no_reason_to_stop():
    result = ReinforcePP().advantages([scored_group([1, None, 0], lengths=[1, 0, 1])])
    assert np.isnan(result.groups[0]).tolist() == [False, True, False]
