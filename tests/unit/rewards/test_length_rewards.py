from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinograd.config.rewards import LengthBonus, OverlongPenalty, RepetitionPenalty
from kinograd.rewards.length import length_bonus, overlong_penalty, repetition_penalty


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
    assert length_bonus(tokens, correct, in_group, LengthBonus()) == bonus


def test_length_bonus_of_the_paper_needs_no_company() -> None:
    assert length_bonus(400, True, 1, LengthBonus(min_correct=1)) == 0.2


@pytest.mark.parametrize(
    ("tokens", "penalty"), [(0, 0.0), (80, 0.0), (85, -0.25), (90, -0.5), (100, -1.0), (900, -1.0)]
)
def test_overlong_penalty(tokens: int, penalty: float) -> None:
    assert overlong_penalty(tokens, OverlongPenalty(max_tokens=100, cache=20)) == penalty


def test_repetition_penalty_counts_n_grams_seen_before() -> None:
    rule = RepetitionPenalty(ngram=2, value=-0.5)
    assert repetition_penalty(np.array([1, 2, 3, 4]), rule) == 0.0
    # 12, 21, 12, 21, 12: three of five were there before
    assert repetition_penalty(np.array([1, 2, 1, 2, 1, 2]), rule) == pytest.approx(-0.3)
    assert repetition_penalty(np.array([1]), rule) == 0.0


@given(st.lists(st.integers(0, 3), max_size=40), st.integers(1, 5))
def test_repetition_penalty_by_counting(tokens: list[int], ngram: int) -> None:
    grams = [tuple(tokens[i : i + ngram]) for i in range(len(tokens) - ngram + 1)]
    again = sum(g in grams[:i] for i, g in enumerate(grams))
    expected = -1.0 * again / len(grams) if grams else 0.0
    rule = RepetitionPenalty(ngram=ngram, value=-1.0)
    assert repetition_penalty(np.array(tokens, dtype=np.int64), rule) == pytest.approx(expected)
