"""T-GRPO: reward rollouts on ordered frames only if order helped (arXiv 2503.21776).

Equations 1 and 2: with p and p~ the shares of correct rollouts on ordered and shuffled
frames, every correct ordered rollout gets alpha more if p >= mu * p~. (The paper has
mu = 1; the released code compares mean accuracy rewards with mu = 0.8, and calls an
accuracy above 0.1 correct.)

Two facts that the formula hides, with our repairs beside it. With two reward levels in a
group the bonus on the *reward* changes nothing, because standardisation is invariant under
affine maps (repair: the bonus on the advantage, or advantages without std). And the gate
opens by chance for a policy blind to order (repair: a margin, or an exact test).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from kinograd.config.algo import Temporal
from kinograd.types import Group


@dataclass(frozen=True)
class Gate:
    """What the gate saw and did.

    Attributes:
        open: whether order helped enough.
        ordered, shuffled: the two accuracies compared; NaN if there was no second one.
        p_value: of the test that order helped (NaN for the other gates).
    """

    open: bool = False
    ordered: float = math.nan
    shuffled: float = math.nan
    p_value: float = math.nan


def accuracies(group: Group) -> np.ndarray:
    """float (G,): accuracy rewards, NaN where unscored."""
    return np.array(
        [np.nan if s.value is None else s.parts.get("accuracy", np.nan) for s in group.scores]
    )


def order_gate(group: Group, algo: Temporal) -> Gate:
    """Compare the rollouts of ``group`` with those of its twin, who saw shuffled frames.

    A group without a twin (image examples), or whose twin has no scored rollout, has a
    closed gate: as published, the bonus is for videos only.
    """
    twin = group.twin
    if twin is None or not twin.scored.any() or not group.scored.any():
        return Gate()
    measure = accuracies if algo.gate_on == "accuracy" else _correctness
    ordered, shuffled = float(np.nanmean(measure(group))), float(np.nanmean(measure(twin)))
    match algo.gate:
        case "ratio":
            return Gate(ordered >= algo.mu * shuffled, ordered, shuffled)
        case "margin":
            return Gate(ordered - shuffled >= algo.margin, ordered, shuffled)
        case "test":
            p = exact_test(
                int(group.correct[group.scored].sum()),
                int(group.scored.sum()),
                int(twin.correct[twin.scored].sum()),
                int(twin.scored.sum()),
            )
            return Gate(p <= algo.level, ordered, shuffled, p)


def exact_test(right: int, n: int, twin_right: int, twin_n: int) -> float:
    """One-sided p-value of Fisher's exact test that the first group is right more often.

    It is the permutation test of the difference of two shares: how likely at least
    ``right`` of the right answers fall among n of all n + twin_n rollouts by chance.

    >>> round(exact_test(3, 3, 0, 3), 3)  # 1 of the 20 ways to choose three of six
    0.05
    """
    every, both = n + twin_n, right + twin_right
    ways = sum(
        math.comb(both, x) * math.comb(every - both, n - x) for x in range(right, min(n, both) + 1)
    )
    return ways / math.comb(every, n)


def order_bonus(group: Group, gate: Gate, algo: Temporal) -> np.ndarray:
    """float (G,): alpha for correct rollouts where the gate is open, else 0."""
    correct = group.correct if algo.threshold is None else accuracies(group) > algo.threshold
    return np.where(correct & gate.open, algo.alpha, 0.0)


def _correctness(group: Group) -> np.ndarray:
    return np.where(group.scored, group.correct.astype(float), np.nan)
