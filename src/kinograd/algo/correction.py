"""Importance weights where the sampler's arithmetic is not the learner's."""

from __future__ import annotations

import numpy as np

from kinograd.config.algo import Correction

_BOUND = 20.0  # of a log-ratio, so that its exponential stays finite (verl)


def importance_weights(learner: np.ndarray, sampler: np.ndarray, config: Correction) -> np.ndarray:
    """float32 (L,): constants that multiply the objective of one response's tokens.

    w = pi_learner / pi_sampler before the first update, of each token or of the whole
    response (the product over its tokens). ``truncate``: clip(w, low, high), truncated
    importance sampling (Yao et al. 2025, fengyao.notion.site/off-policy-rl). ``mask``: 0
    outside of [low, high] (TRL's ``sequence_mask``, verl's rejection). Normalisers keep
    counting what was masked, as in TRL.

    Args:
        learner, sampler: log-probabilities (L,).
    """
    logs = (learner - sampler).astype(np.float64)
    if config.level == "sequence":
        logs = np.full_like(logs, logs.sum())
    weights = np.exp(np.clip(logs, -_BOUND, _BOUND))
    if config.how == "truncate":
        return np.clip(weights, config.low, config.high).astype(np.float32)
    inside = (weights >= config.low) & (weights <= config.high)
    return np.where(inside, weights, 0.0).astype(np.float32)
