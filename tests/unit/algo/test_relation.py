"""Counterfactual relation reward: answers that change, or stay, with the video."""

from __future__ import annotations

import numpy as np
import pytest
from tests.builders import scored_group

from kinograd.algo.grpo import Grpo
from kinograd.algo.relation import Relation, read_answer, relation_shares
from kinograd.algo.t_grpo import TGrpo
from kinograd.algo.video_ktr import VideoKtr
from kinograd.types import Cut, Example, Kind, Media, MediaType, UsageError, View, ViewKind

VIDEO = Media(MediaType.VIDEO, Cut.whole("a.mp4"))
IMAGE = Media(MediaType.IMAGE, Cut.whole("a.png"))


def example(*media: Media, **extra) -> Example:
    return Example("e", Kind.FREE_FORM, "?", "left", media, extra=extra)


def tagged(*answers: str) -> list[str]:
    return [f"<think>...</think><answer>{a}</answer>" for a in answers]


@pytest.fixture
def pair():
    """Answers of both branches; the gold answer is ``left``, both formats are right."""

    def make(own, other, **extra):
        right = [float(a == "left") for a in other]
        second = scored_group(right, texts=tagged(*other), extra=extra)
        return scored_group(
            [float(a == "left") for a in own], texts=tagged(*own), extra=extra, twin=second
        )

    return make


def test_shares_by_hand(pair):
    # left differs from one of the two other answers, right from the other, up from both
    group = pair(["left", "right", "up"], ["right", "left"])
    own, other = relation_shares(group, True)
    np.testing.assert_allclose(own, [1 / 2, 1 / 2, 1])
    np.testing.assert_allclose(other, [2 / 3, 2 / 3])
    own, other = relation_shares(group, False)
    np.testing.assert_allclose(own, [1 / 2, 1 / 2, 0])
    np.testing.assert_allclose(other, [1 / 3, 1 / 3])


def test_no_answer_is_in_no_relation():
    second = scored_group([0, 0], texts=["no tags <answer>", *tagged("left")])
    group = scored_group([1], texts=tagged("left"), twin=second)
    assert relation_shares(group, True)[0].tolist() == [0]
    assert relation_shares(group, False)[1].tolist() == [0, 1]


def test_rewards_by_hand(pair):
    algo = Relation(weight=0.5)
    # Static: both branches keep their own grades; accuracy + format + 0.5 x share
    group = pair(["left", "right"], ["left", "left"], dynamic=False)
    own, other = algo.rewards(group)
    np.testing.assert_allclose(own, [2 + 0.5, 1 + 0])
    np.testing.assert_allclose(other, [2 + 0.25] * 2)
    # Dynamic without a known answer: the other branch has its format and the relation only
    group = pair(["left", "left"], ["left", "right"], dynamic=True)
    own, other = algo.rewards(group)
    np.testing.assert_allclose(own, [2 + 0.25] * 2)
    np.testing.assert_allclose(other, [1 + 0, 1 + 0.5])
    # Known: the twin was graded by it
    group = pair(["left"], ["left", "right"], dynamic=True, counterfactual="right")
    np.testing.assert_allclose(algo.rewards(group)[1], [2 + 0, 1 + 0.5])


def test_both_branches_are_trained_and_counted(pair):
    groups = [
        pair(["left", "right"], ["left", "right"], dynamic=True),
        pair(["left", "right"], ["left", "left"], dynamic=False),
        scored_group([1, 0]),
    ]
    result = Relation(advantage="group_mean").advantages(groups)
    assert result.twins[0].tolist() == [-0.0, 0.0]  # shares are equal: nothing to learn
    assert result.twins[2] is None
    np.testing.assert_allclose(result.groups[2], [0.5, -0.5])
    assert result.metrics == {"relation/dynamic": 0.5, "relation/static": 0.5}


def test_a_shortcut_loses_against_sight(pair):
    """One answer whatever the video shows: the other branch rewards whoever looked."""
    group = pair(["left"] * 4, ["left", "left", "left", "right"], dynamic=True)
    (advantage,) = Relation().advantages([group]).twins
    assert advantage[3] > 0 > advantage[0]


def test_answers_are_read_as_graders_read_them():
    choice = Example("e", Kind.MULTIPLE_CHOICE, "?", "B", (VIDEO,), options=("red", "blue"))
    assert read_answer(choice, "<answer>(b)</answer>") == "B"
    assert read_answer(choice, "<answer>blue</answer>") == "B"
    assert read_answer(example(VIDEO), "<answer> To the  Left. </answer>") == "to the left"
    assert read_answer(example(VIDEO), "<answer></answer>") is None


def test_views_by_label():
    algo = Relation(view="flipped", twin_rollouts=3)
    wanted = algo.twin(example(VIDEO, dynamic=True, counterfactual="right"), 8)
    assert wanted is not None
    assert (wanted.view, wanted.n) == (View(ViewKind.FLIPPED), 3)
    assert wanted.example.answer == "right"
    assert Relation().twin(example(VIDEO, dynamic="reversed"), 8).view.name == "reversed"
    assert Relation().twin(example(VIDEO, dynamic=False), 8).example.answer == "left"
    assert algo.twin(example(VIDEO), 8) is None  # the data do not say
    assert algo.twin(example(IMAGE, dynamic=True), 8) is None
    with pytest.raises(UsageError, match=r"extra.dynamic must be true, false"):
        algo.twin(example(VIDEO, dynamic="yes"), 8)


def test_twin_is_for_videos_and_half_the_group():
    wanted = TGrpo().twin(example(VIDEO), 8)
    assert (wanted.view, wanted.n) == (View(ViewKind.SHUFFLED), 4)
    wanted = TGrpo(twin_rollouts=8, shuffle_unit="temporal_patch").twin(example(VIDEO), 8)
    assert (wanted.view, wanted.n) == (View(ViewKind.SHUFFLED, unit="temporal_patch"), 8)
    assert TGrpo().twin(example(IMAGE), 8) is None
    assert Grpo().twin(example(VIDEO), 8) is None
    assert VideoKtr().twin(example(VIDEO), 8) is None
