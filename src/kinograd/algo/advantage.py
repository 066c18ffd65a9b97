"""Advantages of a group's rollouts from their scores. NaN marks an unscored rollout.

G rollouts of one prompt; all functions map float (G,) to float (G,), keep NaN where it
was, and need at least two scored rollouts (``usable`` says so).
"""

from __future__ import annotations

import numpy as np

STD_EPSILON = 1e-4  # Video-R1 and TRL


def usable(values: np.ndarray) -> bool:
    """A group teaches something only if two of its rollouts have scores."""
    return int(np.isfinite(values).sum()) >= 2


def group_mean(values: np.ndarray) -> np.ndarray:
    """R - mean R: Dr. GRPO (Liu et al. 2025, arXiv 2503.20783).

    >>> group_mean(np.array([1.0, 0.0, 0.0, 0.0])).tolist()
    [0.75, -0.25, -0.25, -0.25]
    """
    return values - np.nanmean(values)


def group_std(values: np.ndarray) -> np.ndarray:
    """(R - mean R) / (std R + 1e-4), std with G - 1: GRPO (arXiv 2402.03300) as released.

    >>> group_std(np.array([2.0, 1.0, 1.0, 1.0])).round(4).tolist()
    [1.4997, -0.4999, -0.4999, -0.4999]
    """
    return group_mean(values) / (np.nanstd(values, ddof=1) + STD_EPSILON)


def leave_one_out(values: np.ndarray) -> np.ndarray:
    """R_i - mean of the others: RLOO (Ahmadian et al. 2024, arXiv 2402.14740).

    >>> leave_one_out(np.array([3.0, 0.0, 0.0])).tolist()
    [3.0, -1.5, -1.5]
    """
    n = int(np.isfinite(values).sum())
    return group_mean(values) * n / (n - 1)


ADVANTAGES = {"group_std": group_std, "group_mean": group_mean, "leave_one_out": leave_one_out}
