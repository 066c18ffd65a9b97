"""What the length and the repetition of a rollout add to its reward."""

from __future__ import annotations

import numpy as np

from kinograd.config.rewards import LengthBonus, OverlongPenalty, RepetitionPenalty


def length_bonus(tokens: int, correct: bool, correct_in_group: int, rule: LengthBonus) -> float:
    """Video-R1 equation 5.

    Args:
        tokens: length of the rollout, its end-of-turn token included.
        correct_in_group: the released code pays only where several are correct.
    """
    paid = correct and correct_in_group >= rule.min_correct and rule.low <= tokens <= rule.high
    return rule.value if paid else 0.0


def overlong_penalty(tokens: int, rule: OverlongPenalty) -> float:
    """DAPO (Yu et al. 2025, arXiv 2503.14476) equation 13, in [-1, 0]."""
    free = rule.max_tokens - rule.cache
    return max(-1.0, min(0.0, (free - tokens) / rule.cache))


def repetition_penalty(token_ids: np.ndarray, rule: RepetitionPenalty) -> float:
    """``value`` times the share of n-grams that occurred before.

    Args:
        token_ids: int64 (L,).
    """
    if len(token_ids) < rule.ngram:
        return 0.0
    grams = np.lib.stride_tricks.sliding_window_view(token_ids, rule.ngram)
    return rule.value * (1 - len(np.unique(grams, axis=0)) / len(grams))
