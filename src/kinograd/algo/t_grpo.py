"""T-GRPO: reward rollouts on ordered frames only if order helped (Feng et al. 2025).

The formula hides two facts; our repairs are settings beside it. With two reward levels in a
group the bonus on the *reward* changes nothing, because standardisation is invariant under
affine maps (repair: the bonus on the advantage, or advantages without std). And the gate
opens by chance for a policy blind to order (repair: a margin, or an exact test).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import model_validator

from kinograd.algo.base import Advantages, GroupAlgorithm, RuleInputs
from kinograd.algo.parts.advantage import normalise
from kinograd.algo.parts.settings import NonNegative
from kinograd.algo.parts.views import Twin, has_video
from kinograd.section import Fraction, Positive
from kinograd.types import Example, Group, View, ViewKind


@dataclass(frozen=True)
class OrderGate:
    """Outcome of comparing ordered with shuffled rollouts.

    Attributes:
        open: order helped enough.
        ordered, shuffled: the two accuracies compared; NaN if there was no second one.
        p_value: of the test that order helped (NaN for the other gates).
    """

    open: bool = False
    ordered: float = math.nan
    shuffled: float = math.nan
    p_value: float = math.nan


class TemporalAlgorithm(GroupAlgorithm):
    """Settings and rule of T-GRPO (Feng et al. 2025, arXiv 2503.21776, eq. 1-4).

    With p and p~ the shares of correct rollouts on ordered and shuffled frames, every correct
    ordered rollout gets alpha more if p >= mu p~; then GRPO.
    """

    alpha: float = 0.3
    """Bonus of a correct ordered rollout where the gate is open."""
    gate: Literal["ratio", "margin", "test"] = "ratio"
    """Condition that opens the gate: p >= mu p~ (published), p - p~ >= margin, or Fisher's
    exact test of p > p~ at ``level``."""
    mu: float = 1.0
    """Gate ``ratio``: paper 1.0, released code 0.8."""
    margin: NonNegative = 0.25
    """Gate ``margin``: least difference p - p~."""
    level: Fraction = 0.1
    """Gate ``test``: largest p-value that opens it."""
    threshold: float | None = None
    """Accuracy above which the bonus is given; null: the reward's ``correct`` (code: 0.1)."""
    gate_on: Literal["correct", "accuracy"] = "correct"
    """Compare shares of correct rollouts (paper) or mean accuracy rewards (code)."""
    bonus_on: Literal["reward", "advantage"] = "reward"
    """On the reward the bonus vanishes under standardisation unless three levels exist."""
    twin_rollouts: Positive | None = None
    """Rollouts on shuffled frames; null: half of the group (published)."""
    shuffle_unit: Literal["frame", "temporal_patch"] = "frame"
    """Unit that a shuffle permutes: frames, or temporal patches of two frames."""

    @model_validator(mode="after")
    def _counts(self) -> TemporalAlgorithm:
        if self.gate == "test" and self.gate_on == "accuracy":
            raise ValueError("algo.gate: test counts correct rollouts; set algo.gate_on: correct")
        return self

    def twin(self, example: Example, group_size: int) -> Twin | None:
        """Ask for rollouts on shuffled frames; images get plain GRPO, as published."""
        if not has_video(example):
            return None
        n = self.twin_rollouts or max(1, group_size // 2)
        return Twin(example, View(ViewKind.SHUFFLED, unit=self.shuffle_unit), n)

    def rule(self, groups: Sequence[Group], inputs: RuleInputs) -> Advantages:
        """Add the temporal bonus, and report the gate.

        ``temporal/effective_change`` is the largest change of an advantage in a group by the
        bonus, averaged over groups that have a twin.
        """
        gates_P = [self.order_gate(g) for g in groups]
        bonus_PG = [self.order_bonus(g, gate) for g, gate in zip(groups, gates_P, strict=True)]
        rewards_PG = [g.values for g in groups]
        plain_PG = normalise(rewards_PG, self.advantage)
        if self.bonus_on == "reward":
            raised_PG = [r + b for r, b in zip(rewards_PG, bonus_PG, strict=True)]
            final_PG = normalise(raised_PG, self.advantage)
        else:
            final_PG = [a + b for a, b in zip(plain_PG, bonus_PG, strict=True)]
        compared = [i for i, gate in enumerate(gates_P) if np.isfinite(gate.ordered)]
        if not compared:
            return Advantages([*final_PG])
        changes = [float(np.nanmax(np.abs(final_PG[i] - plain_PG[i]))) for i in compared]
        metrics = {
            "temporal/gate": float(np.mean([gates_P[i].open for i in compared])),
            "temporal/ordered": float(np.mean([gates_P[i].ordered for i in compared])),
            "temporal/shuffled": float(np.mean([gates_P[i].shuffled for i in compared])),
            "temporal/effective_change": float(np.mean(changes)),
        }
        if self.gate == "test":
            metrics["temporal/p_value"] = float(np.mean([gates_P[i].p_value for i in compared]))
        return Advantages([*final_PG], metrics)

    def order_gate(self, group: Group) -> OrderGate:
        """Compare the rollouts of a group with those of its twin on shuffled frames.

        The gate of a group without a twin (image examples), or whose twin has no scored
        rollout, is closed: as published, the bonus is for videos only.
        """
        twin = group.twin
        if twin is None or not twin.scored.any() or not group.scored.any():
            return OrderGate()
        measure = accuracies if self.gate_on == "accuracy" else _correctness
        ordered, shuffled = float(np.nanmean(measure(group))), float(np.nanmean(measure(twin)))
        match self.gate:
            case "ratio":
                return OrderGate(ordered >= self.mu * shuffled, ordered, shuffled)
            case "margin":
                return OrderGate(ordered - shuffled >= self.margin, ordered, shuffled)
            case "test":
                p = exact_test(
                    int(group.correct[group.scored].sum()),
                    int(group.scored.sum()),
                    int(twin.correct[twin.scored].sum()),
                    int(twin.scored.sum()),
                )
                return OrderGate(p <= self.level, ordered, shuffled, p)

    def order_bonus(self, group: Group, gate: OrderGate) -> np.ndarray:
        """Return float (G,): alpha for correct rollouts where the gate is open, else 0."""
        correct_G = group.correct if self.threshold is None else accuracies(group) > self.threshold
        return np.where(correct_G & gate.open, self.alpha, 0.0)


class TGrpo(TemporalAlgorithm):
    """T-GRPO as in the paper (Feng et al. 2025, arXiv 2503.21776, eq. 1-4)."""

    type: Literal["t_grpo"] = "t_grpo"


def accuracies(group: Group) -> np.ndarray:
    """Return accuracy rewards, float (G,), NaN where unscored."""
    return np.array(
        [np.nan if s.value is None else s.parts.get("accuracy", np.nan) for s in group.scores]
    )


def _correctness(group: Group) -> np.ndarray:
    """Return 1 for correct and 0 for wrong rollouts, float (G,), NaN where unscored."""
    return np.where(group.scored, group.correct.astype(float), np.nan)


def exact_test(right: int, n: int, twin_right: int, twin_n: int) -> float:
    """Compute the one-sided p-value of Fisher's exact test that the first group is better.

    It is the permutation test of the difference of two shares: the chance that at least
    ``right`` of the right answers fall among n of all n + twin_n rollouts.

    >>> round(exact_test(3, 3, 0, 3), 3)  # 1 of the 20 ways to choose three of six
    0.05
    """
    every, both = n + twin_n, right + twin_right
    ways = sum(
        math.comb(both, x) * math.comb(every - both, n - x) for x in range(right, min(n, both) + 1)
    )
    return ways / math.comb(every, n)
