"""T-GRPO: reward rollouts on ordered frames only if order helped (arXiv 2503.21776).

Equations 1 and 2: with p and p~ the shares of correct rollouts on ordered and shuffled
frames, every correct ordered rollout gets alpha more if p >= mu * p~. (The paper has
mu = 1; the released code compares mean accuracy rewards with mu = 0.8, and calls an
accuracy above 0.1 correct.)

With two reward levels in a group the bonus on the *reward* changes nothing, because
standardisation is invariant under affine maps; ``effective_change`` measures that.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kinograd.algo.advantage import ADVANTAGES
from kinograd.config.schema import TGrpo
from kinograd.types import Group


@dataclass(frozen=True)
class Temporal:
    """What the gate saw and did.

    Attributes:
        advantages: float (G,).
        gate: whether order helped enough.
        ordered, shuffled: the two accuracies compared.
        effective_change: largest absolute change of an advantage by the bonus.
    """

    advantages: np.ndarray
    gate: bool
    ordered: float
    shuffled: float
    effective_change: float


def accuracies(group: Group) -> np.ndarray:
    """float (G,): accuracy rewards, NaN where unscored."""
    return np.array(
        [np.nan if s.value is None else s.parts.get("accuracy", np.nan) for s in group.scores]
    )


def temporal_advantages(group: Group, algo: TGrpo) -> Temporal:
    """Advantages of the ordered rollouts of ``group``, whose twin saw shuffled frames.

    A group without a twin (image examples), or whose twin has no scored rollout, gets
    plain advantages: as published, the bonus is for videos only.
    """
    normalise = ADVANTAGES[algo.advantage]
    plain = normalise(group.values)
    twin = group.twin
    if twin is None or not twin.scored.any():
        return Temporal(plain, False, float("nan"), float("nan"), 0.0)
    measure = accuracies if algo.gate_on == "accuracy" else _correctness
    ordered, shuffled = float(np.nanmean(measure(group))), float(np.nanmean(measure(twin)))
    gate = ordered >= algo.mu * shuffled
    correct = group.correct if algo.threshold is None else accuracies(group) > algo.threshold
    bonus = np.where(correct & gate, algo.alpha, 0.0)
    if algo.bonus_on == "reward":
        advantages = normalise(group.values + bonus)
    else:
        advantages = plain + bonus
    change = float(np.nanmax(np.abs(advantages - plain)))
    return Temporal(advantages, gate, ordered, shuffled, change)


def _correctness(group: Group) -> np.ndarray:
    return np.where(group.scored, group.correct.astype(float), np.nan)
