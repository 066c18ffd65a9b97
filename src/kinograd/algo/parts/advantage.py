"""Advantages of rollouts from their rewards; NaN marks an unscored rollout.

Functions of one group map float (G,) to float (G,), keep NaN where it was, and need at
least two scored rollouts (``is_comparable``).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

STD_EPSILON = 1e-4  # Video-R1 and TRL


def is_comparable(rewards_G: np.ndarray) -> bool:
    """Tell a group with two scored rollouts from one without."""
    return int(np.isfinite(rewards_G).sum()) >= 2


def group_mean(rewards_G: np.ndarray) -> np.ndarray:
    """Return R - mean R: Dr. GRPO (Liu et al. 2025, arXiv 2503.20783).

    >>> group_mean(np.array([1.0, 0.0, 0.0, 0.0])).tolist()
    [0.75, -0.25, -0.25, -0.25]
    """
    return rewards_G - np.nanmean(rewards_G)


def group_std(rewards_G: np.ndarray) -> np.ndarray:
    """Return (R - mean R) / (std R + 1e-4), std with G - 1: GRPO (arXiv 2402.03300) as released.

    >>> group_std(np.array([2.0, 1.0, 1.0, 1.0])).round(4).tolist()
    [1.4997, -0.4999, -0.4999, -0.4999]
    """
    return group_mean(rewards_G) / (np.nanstd(rewards_G, ddof=1) + STD_EPSILON)


def leave_one_out(rewards_G: np.ndarray) -> np.ndarray:
    """Return R_i - mean of the others: RLOO (Ahmadian et al. 2024, arXiv 2402.14740).

    >>> leave_one_out(np.array([3.0, 0.0, 0.0])).tolist()
    [3.0, -1.5, -1.5]
    """
    n = int(np.isfinite(rewards_G).sum())
    return group_mean(rewards_G) * n / (n - 1)


ADVANTAGES = {"group_std": group_std, "group_mean": group_mean, "leave_one_out": leave_one_out}


def normalise(rewards_PG: Sequence[np.ndarray], how: str) -> list[np.ndarray]:
    """Compute the advantages of all groups of a batch, float (G,) each.

    Args:
        how: a name of ``ADVANTAGES``, or ``batch_std``: (R - mean of its group) / (std of
            all R + 1e-4), Lite PPO (arXiv 2508.08221), TRL's ``scale_rewards="batch"``.
    """
    if how != "batch_std":
        return [ADVANTAGES[how](rewards_G) for rewards_G in rewards_PG]
    _, std = mean_std(rewards_PG)
    return [group_mean(rewards_G) / (std + STD_EPSILON) for rewards_G in rewards_PG]


# -------------------------------------------------------------- batch statistics


def power_sums(arrays: Sequence[np.ndarray]) -> tuple[float, float, float]:
    """Return count, sum and sum of squares of all finite values."""
    total = np.zeros(3)
    for array in arrays:
        x = array[np.isfinite(array)].astype(np.float64)
        total += [len(x), x.sum(), (x * x).sum()]
    return float(total[0]), float(total[1]), float(total[2])


def mean_std(arrays: Sequence[np.ndarray]) -> tuple[float, float]:
    """Return mean and standard deviation (n - 1) of all finite values.

    >>> mean_std([np.array([1.0, 0.0]), np.array([1.0, 0.0])])[0]
    0.5
    """
    n, first, second = power_sums(arrays)
    mean = first / max(n, 1.0)
    return mean, float(np.sqrt(max(second - n * mean * mean, 0.0) / max(n - 1, 1.0)))


def whiten(arrays: Sequence[np.ndarray], *, epsilon: float = STD_EPSILON) -> list[np.ndarray]:
    """Return (x - mean) / (std + epsilon), with mean and std over all finite values."""
    mean, std = mean_std(arrays)
    return [(x - mean) / (std + epsilon) for x in arrays]
