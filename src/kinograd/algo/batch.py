"""Advantages that need more than one group: REINFORCE++, GDPO, EMA-GRPO.

All functions take one float array (G,) per usable group, NaN for unscored rollouts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from kinograd.algo.advantage import (
    STD_EPSILON,
    Reduce,
    alone,
    group_mean,
    group_std,
    mean_std,
    sums,
)


def whiten(
    arrays: Sequence[np.ndarray], *, epsilon: float = STD_EPSILON, reduce: Reduce = alone
) -> list[np.ndarray]:
    """(x - mean) / (std + epsilon) over all values of all arrays and processes."""
    mean, std = mean_std(reduce(sums(arrays)))
    return [(x - mean) / (std + epsilon) for x in arrays]


def reinforce_pp(
    rewards: Sequence[np.ndarray],
    penalties: Sequence[Sequence[np.ndarray]],
    *,
    baseline: bool,
    reduce: Reduce = alone,
) -> list[list[np.ndarray]]:
    """Advantages per token: REINFORCE++ (Hu et al. 2025, arXiv 2501.03262; verl).

    A_t = R - sum_{i >= t} penalty_i, minus the group's mean R with ``baseline``, then
    normalised to mean 0 and variance 1 over all tokens of the batch.

    Args:
        penalties: per group and rollout float (L,), beta (log pi_old - log pi_ref) of
            each token, or zeros; of unscored rollouts it is not read.

    Returns:
        Per group and rollout float (L,), NaN for unscored rollouts.
    """
    returns = [
        [
            value - np.cumsum(penalty[::-1])[::-1]
            for value, penalty in zip(values, rows, strict=True)
        ]
        for values, rows in zip(
            [group_mean(r) if baseline else r for r in rewards], penalties, strict=True
        )
    ]
    flat = whiten([x for rows in returns for x in rows], epsilon=1e-8, reduce=reduce)
    left = iter(flat)
    return [[next(left) for _ in rows] for rows in returns]


def gdpo(
    parts: Sequence[Mapping[str, np.ndarray]],
    weights: Mapping[str, float],
    *,
    reduce: Reduce = alone,
) -> list[np.ndarray]:
    """GDPO (Liu et al. 2026, arXiv 2601.05242; NVlabs/GDPO, TRL).

    Every reward is standardised in its own group; the weighted sum of these is then
    standardised over the batch, so that the number of rewards does not change its scale.

    Args:
        parts: per group, reward by name; NaN where a rollout has none, which then
            contributes nothing. A rollout without any is unscored.
    """
    combined: list[np.ndarray] = []
    for group in parts:
        rows = np.stack([weights[name] * _standardised(group[name]) for name in weights])
        total = np.nansum(rows, axis=0)
        combined.append(np.where(np.isfinite(rows).any(axis=0), total, np.nan))
    return whiten(combined, reduce=reduce)


def _standardised(values: np.ndarray) -> np.ndarray:
    """As GRPO does; NaN throughout where fewer than two rollouts have this reward."""
    if np.isfinite(values).sum() < 2:
        return np.full_like(values, np.nan)
    return group_std(values)


Moments = dict[str, list[float]]


def updated_moments(
    moments: Mapping[str, Sequence[float]],
    kinds: Sequence[str],
    rewards: Sequence[np.ndarray],
    *,
    decay: float,
    every_kind: Sequence[str],
    reduce: Reduce = alone,
) -> Moments:
    """EMA of E[R] and E[R^2] by task kind, this batch included; a new kind starts with it.

    Args:
        moments: what the step before returned (plain JSON).
        every_kind: all kinds there are, so that processes add up the same table.
    """
    table = np.stack(
        [sums([r for r, k in zip(rewards, kinds, strict=True) if k == kind]) for kind in every_kind]
    )
    out = {kind: list(pair) for kind, pair in moments.items()}
    for kind, (n, first, second) in zip(every_kind, reduce(table).tolist(), strict=True):
        if n:
            now = [first / n, second / n]
            before = out.get(kind)
            out[kind] = (
                now
                if before is None
                else [decay * a + (1 - decay) * b for a, b in zip(before, now, strict=True)]
            )
    return out


def ema_grpo(
    rewards: Sequence[np.ndarray],
    kinds: Sequence[str],
    moments: Mapping[str, Sequence[float]],
    *,
    min_std: float,
    guard: float | None,
) -> list[np.ndarray]:
    """(R - mean of its group) / sigma of its task kind: EMA-GRPO (OneThinker, arXiv 2512.03043).

    sigma^2 = E[R^2] - E[R]^2 from ``updated_moments``, which has seen this batch (as the
    released code does). A group with an advantage beyond ``guard`` is divided by its own
    std (over G) instead; the guard is in the code only.
    """
    out: list[np.ndarray] = []
    for values, kind in zip(rewards, kinds, strict=True):
        first, second = moments[kind]
        sigma = max(np.sqrt(max(second - first * first, 0.0)), min_std)
        centred = group_mean(values)
        scaled = centred / (sigma + 1e-6)
        if guard is not None and np.nanmax(np.abs(scaled)) > guard:
            scaled = centred / (np.nanstd(values) + 1e-6)
        out.append(scaled)
    return out
