"""T-GRPO, with the two facts that its formula hides."""

from __future__ import annotations

import numpy as np
import pytest

from kinograd.algo.presets import advantages, twin
from kinograd.algo.temporal import temporal_advantages
from kinograd.config.schema import Grpo, TGrpo
from kinograd.types import (
    ORDERED,
    Cut,
    Example,
    Group,
    Kind,
    Media,
    MediaType,
    Rollout,
    Score,
    StopReason,
    Unscored,
    View,
    ViewKind,
)

VIDEO = Media(MediaType.VIDEO, Cut.whole("a.mp4"))
IMAGE = Media(MediaType.IMAGE, Cut.whole("a.png"))


def example(*media: Media) -> Example:
    return Example("e", Kind.FREE_FORM, "?", "x", media)


def group(accuracies, formats=None, twin_accuracies=None, threshold=0.5) -> Group:
    formats = formats or [1.0] * len(accuracies)
    rollout = Rollout(np.zeros(1, np.int64), np.zeros(1, np.float32), "", StopReason.END)
    scores = tuple(
        Score.none(Unscored.JUDGE_TIMEOUT)
        if a is None
        else Score(a + f, {"accuracy": a, "format": f}, correct=a > threshold)
        for a, f in zip(accuracies, formats, strict=True)
    )
    other = None
    if twin_accuracies is not None:
        other = group(twin_accuracies, threshold=threshold)
    return Group(example(VIDEO), ORDERED, (rollout,) * len(scores), scores, other)


def test_bonus_by_hand_with_three_reward_levels():
    # rewards 2, 1, 0 (one format failure); p = 1/3 >= p~ = 0: the first gets 0.3 more
    g = group([1, 0, 0], [1, 1, 0], [0, 0])
    result = temporal_advantages(g, TGrpo(advantage="group_mean"))
    assert result.gate
    np.testing.assert_allclose(result.advantages, np.array([2.3, 1, 0]) - 3.3 / 3)
    assert result.effective_change == pytest.approx(0.2)


def test_the_published_bonus_is_invisible_with_two_reward_levels():
    g = group([1, 1, 0, 0, 0, 1, 0, 0], twin_accuracies=[0, 0, 1, 0])
    result = temporal_advantages(g, TGrpo())
    assert result.gate
    plain = advantages([g], Grpo()).groups[0]
    np.testing.assert_allclose(result.advantages, plain, atol=2e-4)
    assert result.effective_change < 2e-4


@pytest.mark.parametrize("repair", [{"bonus_on": "advantage"}, {"advantage": "group_mean"}])
def test_both_repairs_make_it_visible(repair):
    g = group([1, 1, 0, 0, 0, 1, 0, 0], twin_accuracies=[0, 0, 1, 0])
    assert temporal_advantages(g, TGrpo(**repair)).effective_change > 0.1


def test_gate_rules_differ_as_published():
    g = group([1, 1, 0, 0], twin_accuracies=[1, 1, 1, 0])  # p = 0.5, p~ = 0.75
    assert not temporal_advantages(g, TGrpo()).gate
    assert not temporal_advantages(g, TGrpo(mu=0.8)).gate
    assert temporal_advantages(g, TGrpo(mu=0.6)).gate
    graded = group([0.4, 0.4, 0.4, 0.4], twin_accuracies=[0.45, 0.45])
    assert not temporal_advantages(graded, TGrpo(gate_on="accuracy")).gate
    assert temporal_advantages(graded, TGrpo(gate_on="accuracy", mu=0.8)).gate


def test_released_code_calls_an_accuracy_above_a_tenth_correct():
    g = group([0.3, 0.05, 0.0], [1, 1, 0], twin_accuracies=[0.0])
    code = temporal_advantages(g, TGrpo(threshold=0.1, gate_on="accuracy", mu=0.8))
    paper = temporal_advantages(g, TGrpo())
    assert code.effective_change > 0
    assert paper.effective_change == 0


def test_the_published_gate_passes_by_chance_for_an_order_blind_policy():
    """G = 8, G~ = 4, equal true accuracy: the gate of the released code is open 60-80 % of
    the time in groups that can teach at all (mixed ordered results)."""
    rng = np.random.default_rng(0)
    for q in (0.1, 0.25, 0.5, 0.75, 0.9):
        ordered = rng.random((20_000, 8)) < q
        shuffled = rng.random((20_000, 4)) < q
        mixed = (ordered.any(1)) & (~ordered.all(1))
        passed = ordered.mean(1) >= 0.8 * shuffled.mean(1)
        assert 0.6 < passed[mixed].mean() < 0.8


def test_unscored_twin_gives_plain_advantages():
    g = group([1, 0, 0], [1, 1, 0], [None, None])
    result = temporal_advantages(g, TGrpo())
    np.testing.assert_array_equal(result.advantages, advantages([g], Grpo()).groups[0])
    assert np.isnan(result.ordered)


def test_groups_without_two_scores_are_dropped():
    result = advantages([group([1, None]), group([1, 0])], TGrpo())
    assert result.groups[0] is None
    assert result.groups[1] is not None


def test_twin_is_for_videos_and_half_the_group():
    assert twin(example(VIDEO), TGrpo(), 8) == (View(ViewKind.SHUFFLED), 4)
    assert twin(example(VIDEO), TGrpo(twin_rollouts=8, shuffle_unit="temporal_patch"), 8) == (
        View(ViewKind.SHUFFLED, unit="temporal_patch"),
        8,
    )
    assert twin(example(IMAGE), TGrpo(), 8) is None
    assert twin(example(VIDEO), Grpo(), 8) is None
