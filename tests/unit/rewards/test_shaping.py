from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinograd.config.rewards import LengthBonus, OverlongPenalty, RepetitionPenalty
from kinograd.rewards.shaping import length_bonus, overlong_penalty, repetition_penalty
from kinograd.types import Rollout, Score, StopReason

RIGHT, WRONG = Score(1.0, correct=True), Score(0.0)


def sampled(token_ids: Sequence[int]) -> Rollout:
    ids = np.array(token_ids, dtype=np.int64)
    return Rollout(ids, np.zeros(len(ids), np.float32), "", StopReason.END)


@pytest.mark.parametrize(
    ("tokens", "correct", "in_group", "bonus"),
    [
        (319, True, 2, 0.0),
        (320, True, 2, 0.2),
        (512, True, 8, 0.2),
        (513, True, 8, 0.0),
        (400, False, 8, 0.0),
        (400, True, 1, 0.0),
    ],
)
def test_length_bonus_of_the_released_code(
    tokens: int, correct: bool, in_group: int, bonus: float
) -> None:
    score = RIGHT if correct else WRONG
    assert length_bonus(sampled(range(tokens)), score, in_group, LengthBonus()) == bonus


def test_length_bonus_of_the_paper_needs_no_company() -> None:
    assert length_bonus(sampled(range(400)), RIGHT, 1, LengthBonus(min_correct=1)) == 0.2


@pytest.mark.parametrize(
    ("tokens", "penalty"), [(0, 0.0), (80, 0.0), (85, -0.25), (90, -0.5), (100, -1.0), (900, -1.0)]
)
def test_overlong_penalty(tokens: int, penalty: float) -> None:
    rule = OverlongPenalty(max_tokens=100, cache=20)
    assert overlong_penalty(sampled(range(tokens)), RIGHT, 1, rule) == penalty


def test_repetition_penalty_counts_n_grams_seen_before() -> None:
    rule = RepetitionPenalty(ngram=2, value=-0.5)
    assert repetition_penalty(sampled([1, 2, 3, 4]), WRONG, 0, rule) == 0.0
    # 12, 21, 12, 21, 12: three of five were there before
    assert repetition_penalty(sampled([1, 2, 1, 2, 1, 2]), WRONG, 0, rule) == pytest.approx(-0.3)
    assert repetition_penalty(sampled([1]), WRONG, 0, rule) == 0.0


@given(st.lists(st.integers(0, 3), max_size=40), st.integers(1, 5))
def test_repetition_penalty_by_counting(tokens: list[int], ngram: int) -> None:
    grams = [tuple(tokens[i : i + ngram]) for i in range(len(tokens) - ngram + 1)]
    again = sum(g in grams[:i] for i, g in enumerate(grams))
    expected = -1.0 * again / len(grams) if grams else 0.0
    rule = RepetitionPenalty(ngram=ngram, value=-1.0)
    assert repetition_penalty(sampled(tokens), WRONG, 0, rule) == pytest.approx(expected)
