"""EMA-GRPO: rewards scaled by a moving std of their task kind (OneThinker, 2025)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from kinograd.algo.base import Advantages, Algorithm, RuleInputs
from kinograd.algo.parts.advantage import group_mean, power_sums
from kinograd.algo.parts.settings import (
    Above0,
    Above1,
    AggregateName,
    DynamicSampling,
    NonNegative,
)
from kinograd.section import Fraction
from kinograd.types import Group

Moments = dict[str, list[float]]
"""[E[R], E[R^2]] by kind of example."""


class EmaGrpo(Algorithm):
    """EMA-GRPO (OneThinker, arXiv 2512.03043, and its code).

    A = (R - mean of the group) / sigma of the example's kind, with sigma^2 = E[R^2] - E[R]^2
    from moving averages that include this batch, as in the released code.
    """

    type: Literal["ema_grpo"] = "ema_grpo"
    decay: Fraction = 0.99
    """Weight of the previous moving averages."""
    min_std: Above0 = 1e-3
    """Lower bound of sigma."""
    guard: Above0 | None = 5.0
    """A group with a larger advantage is divided by its own std instead (code only)."""
    aggregate: AggregateName = "token_mean"
    clip_high: NonNegative | None = 0.3
    dual_clip: Above1 | None = 3.0
    dynamic: DynamicSampling | None = DynamicSampling()

    def rule(self, groups: Sequence[Group], inputs: RuleInputs) -> Advantages:
        """Update the moving averages, kept as ``state["moments"]``, and scale by them."""
        rewards_PG = [g.values for g in groups]
        kinds_P = [g.example.kind.value for g in groups]
        before: Moments = inputs.state.get("moments", {})
        moments = updated_moments(before, kinds_P, rewards_PG, decay=self.decay)
        advantages_PG = [
            scaled(rewards_G, moments[kind], min_std=self.min_std, guard=self.guard)
            for rewards_G, kind in zip(rewards_PG, kinds_P, strict=True)
        ]
        metrics = {f"ema/std_{k}": max(b - a * a, 0.0) ** 0.5 for k, (a, b) in moments.items()}
        return Advantages([*advantages_PG], metrics, state={"moments": moments})


def scaled(
    rewards_G: np.ndarray, moments: Sequence[float], *, min_std: float, guard: float | None
) -> np.ndarray:
    """Divide the centred rewards of a group by sigma of its kind, or by the group's own std.

    Args:
        moments: E[R] and E[R^2] of the kind.
        guard: largest advantage; beyond it the group's own std (over G) is the divisor.
    """
    first, second = moments
    sigma = max(np.sqrt(max(second - first * first, 0.0)), min_std)
    centred_G = group_mean(rewards_G)
    scaled_G = centred_G / (sigma + 1e-6)
    if guard is not None and np.nanmax(np.abs(scaled_G)) > guard:
        return centred_G / (np.nanstd(rewards_G) + 1e-6)
    return scaled_G


def updated_moments(
    moments: Mapping[str, Sequence[float]],
    kinds_P: Sequence[str],
    rewards_PG: Sequence[np.ndarray],
    *,
    decay: float,
) -> Moments:
    """Update the moving averages of E[R] and E[R^2] by kind; a new kind starts with its batch."""
    out = {kind: list(pair) for kind, pair in moments.items()}
    for kind in dict.fromkeys(kinds_P):
        n, first, second = power_sums(
            [r for r, k in zip(rewards_PG, kinds_P, strict=True) if k == kind]
        )
        if not n:
            continue
        now = [first / n, second / n]
        if kind in out:
            now = [decay * a + (1 - decay) * b for a, b in zip(out[kind], now, strict=True)]
        out[kind] = now
    return out
