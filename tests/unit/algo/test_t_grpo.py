"""T-GRPO, with the two facts that its formula hides."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from tests.builders import scored_group

from kinograd.algo.base import Advantages
from kinograd.algo.grpo import Grpo
from kinograd.algo.t_grpo import TGrpo, exact_test
from kinograd.algo.video_r1 import VideoR1
from kinograd.types import Group


@pytest.fixture
def pair():
    """A group and its twin, by accuracies (format reward 1 unless given)."""

    def make(accuracies, twin_accuracies, formats=None) -> Group:
        return scored_group(accuracies, formats, twin=scored_group(twin_accuracies))

    return make


def change(result: Advantages) -> float:
    return result.metrics["temporal/effective_change"]


def test_bonus_by_hand_with_three_reward_levels(pair):
    # rewards 2, 1, 0 (one format failure); p = 1/3 >= p~ = 0: the first gets 0.3 more
    result = TGrpo(advantage="group_mean").advantages([pair([1, 0, 0], [0, 0], [1, 1, 0])])
    assert result.metrics["temporal/gate"] == 1
    np.testing.assert_allclose(result.groups[0], np.array([2.3, 1, 0]) - 3.3 / 3)
    assert change(result) == pytest.approx(0.2)


def test_the_published_bonus_is_invisible_with_two_reward_levels(pair):
    group = pair([1, 1, 0, 0, 0, 1, 0, 0], [0, 0, 1, 0])
    result = TGrpo().advantages([group])
    assert result.metrics["temporal/gate"] == 1
    plain = Grpo().advantages([group]).groups[0]
    np.testing.assert_allclose(result.groups[0], plain, atol=2e-4)
    assert change(result) < 2e-4


@pytest.mark.parametrize("repair", [{"bonus_on": "advantage"}, {"advantage": "group_mean"}])
def test_both_repairs_make_it_visible(pair, repair):
    group = pair([1, 1, 0, 0, 0, 1, 0, 0], [0, 0, 1, 0])
    assert change(TGrpo(**repair).advantages([group])) > 0.1


def test_bonus_on_the_advantage_by_hand(pair):
    # (R - mean) = 0.5, -0.5; std sqrt(0.5); then 0.3 for the right one
    result = TGrpo(bonus_on="advantage").advantages([pair([1, 0], [0])])
    unit = 0.5 / (math.sqrt(0.5) + 1e-4)
    np.testing.assert_allclose(result.groups[0], [unit + 0.3, -unit])


def test_gate_rules_differ_as_published(pair):
    group = pair([1, 1, 0, 0], [1, 1, 1, 0])  # p = 0.5, p~ = 0.75
    assert not TGrpo().order_gate(group).open
    assert not TGrpo(mu=0.8).order_gate(group).open
    assert TGrpo(mu=0.6).order_gate(group).open
    graded = pair([0.4] * 4, [0.45, 0.45])
    assert not TGrpo(gate_on="accuracy").order_gate(graded).open
    assert TGrpo(gate_on="accuracy", mu=0.8).order_gate(graded).open


def test_video_r1_is_the_released_code(pair):
    # Mean accuracies 0.35 / 3 = 0.1167 >= 0.8 * 0.14 = 0.112, but < 0.14; 0.3 > 0.1 is correct
    group = pair([0.3, 0.05, 0.0], [0.14], [1, 1, 0])
    gate = VideoR1().order_gate(group)
    assert gate.open
    np.testing.assert_array_equal(VideoR1().order_bonus(group, gate), [0.3, 0, 0])
    paper = TGrpo(gate_on="accuracy")
    assert not paper.order_gate(group).open
    assert (VideoR1().clip_low, VideoR1().clip_high) == (None, None)
    assert (VideoR1().kl.beta, VideoR1().kl.estimator, VideoR1().kl.clamp) == (0.04, "k3", 10.0)


def test_margin_gate_by_hand(pair):
    algo = TGrpo(gate="margin", margin=0.25)
    assert algo.order_gate(pair([1, 1, 0, 0], [1, 0, 0, 0])).open  # 0.5 - 0.25
    assert not algo.order_gate(pair([1, 0, 0, 0], [1, 0, 0, 0])).open


def test_exact_test_by_hand():
    # 4 of 4 against 1 of 4, five right of eight: all four here: C(5,4) C(3,0) / C(8,4) = 5 / 70
    assert exact_test(4, 4, 1, 4) == pytest.approx(5 / 70)
    # at least three: + C(5,3) C(3,1) / 70 = 30 / 70
    assert exact_test(3, 4, 2, 4) == pytest.approx(35 / 70)
    assert exact_test(0, 4, 0, 4) == 1
    assert exact_test(0, 4, 4, 4) == 1


def test_exact_test_is_the_permutation_test():
    outcomes = np.array([1, 1, 0, 1, 0, 0, 1])
    n = 4
    observed = outcomes[:n].sum()
    sums = [outcomes[list(c)].sum() for c in combinations(range(len(outcomes)), n)]
    expected = np.mean(np.array(sums) >= observed)
    assert exact_test(int(observed), n, int(outcomes[n:].sum()), 3) == pytest.approx(expected)


def test_test_gate(pair):
    algo = TGrpo(gate="test", level=0.1)
    strong = algo.order_gate(pair([1, 1, 1, 0], [0, 0, 0, 0]))  # C(3,3) C(5,1) / 70
    assert strong.open
    assert strong.p_value == pytest.approx(5 / 70)
    assert not algo.order_gate(pair([1, 1, 0, 0], [1, 0, 0, 0])).open
    result = algo.advantages([pair([1, 1, 1, 0], [0, 0, 0, 0])])
    assert result.metrics["temporal/p_value"] == pytest.approx(5 / 70)


def order_blind(q: float) -> tuple[np.ndarray, np.ndarray]:
    """Right answers of 20,000 groups: 8 ordered and 4 shuffled rollouts of equal accuracy."""
    rng = np.random.default_rng(0)
    return rng.random((20_000, 8)) < q, rng.random((20_000, 4)) < q


@pytest.mark.parametrize("q", [0.1, 0.25, 0.5, 0.75, 0.9])
def test_the_published_gate_passes_by_chance_for_an_order_blind_policy(q):
    """G = 8, G~ = 4, equal true accuracy: the gate of the released code is open 60-80 % of
    the time in groups that can teach at all (mixed ordered results)."""
    ordered, shuffled = order_blind(q)
    mixed = ordered.any(1) & ~ordered.all(1)
    passed = ordered.mean(1) >= 0.8 * shuffled.mean(1)
    assert 0.6 < passed[mixed].mean() < 0.8


@pytest.mark.parametrize("q", [0.1, 0.25, 0.5, 0.75, 0.9])
def test_the_test_gate_keeps_its_level_for_an_order_blind_policy(q):
    ordered, shuffled = order_blind(q)
    table = {(a, b): exact_test(a, 8, b, 4) <= 0.1 for a in range(9) for b in range(5)}
    opened = [table[a, b] for a, b in zip(ordered.sum(1), shuffled.sum(1), strict=True)]
    assert np.mean(opened) <= 0.1


def test_unscored_twin_gives_plain_advantages(pair):
    group = pair([1, 0, 0], [None, None], [1, 1, 0])
    result = TGrpo().advantages([group])
    np.testing.assert_array_equal(result.groups[0], Grpo().advantages([group]).groups[0])
    assert result.metrics == {}


def test_groups_without_two_scores_are_dropped(pair):
    result = TGrpo().advantages([scored_group([1, None]), pair([1, 0], [0])])
    assert result.groups[0] is None
    assert result.groups[1] is not None
