"""Importance weights for a sampler whose arithmetic is not the learner's."""

from __future__ import annotations

import numpy as np

from kinograd.algo.parts.settings import Correction

_BOUND = 20.0  # of a log-ratio, so that its exponential stays finite (verl)


def importance_weights(
    learner_L: np.ndarray, sampler_L: np.ndarray, config: Correction
) -> np.ndarray:
    """Compute float32 (L,): constants that multiply the objective of one response's tokens.

    w = pi_learner / pi_sampler before the first update, of each token or of the response
    (the product over its tokens). ``truncate``: clip(w, low, high), truncated importance
    sampling (Yao et al. 2025, fengyao.notion.site/off-policy-rl). ``mask``: 0 outside of
    [low, high] (TRL's ``sequence_mask``, verl's rejection). Normalisers count masked tokens
    too, as in TRL.

    Args:
        learner_L, sampler_L: log-probabilities of the response's tokens.
    """
    log_ratio_L = (learner_L - sampler_L).astype(np.float64)
    if config.level == "sequence":
        log_ratio_L = np.full_like(log_ratio_L, log_ratio_L.sum())
    weights_L = np.exp(np.clip(log_ratio_L, -_BOUND, _BOUND))
    if config.how == "truncate":
        return np.clip(weights_L, config.low, config.high).astype(np.float32)
    inside_L = (weights_L >= config.low) & (weights_L <= config.high)
    return np.where(inside_L, weights_L, 0.0).astype(np.float32)
