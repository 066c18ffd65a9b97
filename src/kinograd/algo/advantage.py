"""Advantages of rollouts from their rewards. NaN marks an unscored rollout.

G rollouts of one prompt; group functions map float (G,) to float (G,), keep NaN where it
was, and need at least two scored rollouts (``usable`` says so). What needs statistics of
the whole batch takes ``reduce``, which adds up a small array over all processes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

STD_EPSILON = 1e-4  # Video-R1 and TRL

Reduce = Callable[[np.ndarray], np.ndarray]


def alone(sums: np.ndarray) -> np.ndarray:
    """``reduce`` of a single process."""
    return sums


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


def normalise(groups: Sequence[np.ndarray], how: str, reduce: Reduce = alone) -> list[np.ndarray]:
    """Advantages of all groups of a batch by the function named ``how``.

    ``batch_std`` is (R - mean of its group) / (std of all R + 1e-4): Lite PPO (arXiv
    2508.08221), TRL's ``scale_rewards="batch"``.
    """
    if how != "batch_std":
        return [ADVANTAGES[how](values) for values in groups]
    _, std = mean_std(reduce(sums(groups)))
    return [group_mean(values) / (std + STD_EPSILON) for values in groups]


# -------------------------------------------------------------- batch statistics


def sums(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """float64 (3,): count, sum and sum of squares of all finite values."""
    total = np.zeros(3)
    for array in arrays:
        x = array[np.isfinite(array)].astype(np.float64)
        total += [len(x), x.sum(), (x * x).sum()]
    return total


def mean_std(total: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation (n - 1) from what ``sums`` returned.

    >>> mean_std(sums([np.array([1.0, 0.0]), np.array([1.0, 0.0])]))[0]
    0.5
    """
    n, first, second = (float(x) for x in total)
    mean = first / max(n, 1.0)
    return mean, float(np.sqrt(max(second - n * mean * mean, 0.0) / max(n - 1, 1.0)))
