"""Shaping terms: what length and repetition add to the reward of a rollout.

A new term is a section in ``config.rewards`` and, here, a function and a line in ``TERMS``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from kinograd.config.rewards import (
    LengthBonus,
    OverlongPenalty,
    RepetitionPenalty,
    RewardConfig,
    Shaping,
)
from kinograd.types import Rollout, Score


def length_bonus(rollout: Rollout, score: Score, correct: int, rule: LengthBonus) -> float:
    """Compute Video-R1's bonus of equation 5: ``rule.value`` or 0.

    Args:
        correct: correct rollouts of the group; the released code pays only where several are.
    """
    tokens = len(rollout.token_ids)  # the end-of-turn token included
    paid = score.correct and correct >= rule.min_correct and rule.low <= tokens <= rule.high
    return rule.value if paid else 0.0


def overlong_penalty(rollout: Rollout, score: Score, correct: int, rule: OverlongPenalty) -> float:
    """Compute DAPO's penalty in [-1, 0] (Yu et al. 2025, arXiv 2503.14476, equation 13)."""
    free = rule.max_tokens - rule.cache
    return max(-1.0, min(0.0, (free - len(rollout.token_ids)) / rule.cache))


def repetition_penalty(
    rollout: Rollout, score: Score, correct: int, rule: RepetitionPenalty
) -> float:
    """Compute ``rule.value`` times the share of n-grams that occurred before."""
    token_ids = rollout.token_ids
    if len(token_ids) < rule.ngram:
        return 0.0
    grams = np.lib.stride_tricks.sliding_window_view(token_ids, rule.ngram)
    return rule.value * (1 - len(np.unique(grams, axis=0)) / len(grams))


TERMS: Mapping[type[Shaping], Callable[[Rollout, Score, int, Any], float]] = {
    LengthBonus: length_bonus,
    OverlongPenalty: overlong_penalty,
    RepetitionPenalty: repetition_penalty,
}


def shaping_parts(
    score: Score, rollout: Rollout, correct: int, config: RewardConfig
) -> dict[str, float]:
    """Compute every shaping term that the recipe sets, by the name of its part.

    Args:
        correct: correct rollouts of the group.
    """
    return {r.part: TERMS[type(r)](rollout, score, correct, r) for r in config.shaping}
