"""REINFORCE++: returns per token, normalised over the batch (Hu et al. 2025)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np

from kinograd.algo.base import Advantages, Algorithm, RuleInputs
from kinograd.algo.parts.advantage import group_mean, whiten
from kinograd.algo.parts.settings import AggregateName, KLConfig
from kinograd.types import Group


class ReinforcePP(Algorithm):
    """REINFORCE++ and, with ``baseline``, REINFORCE++-baseline (arXiv 2501.03262).

    A_t = R - sum over i >= t of beta (log pi_old - log pi_ref), normalised to mean 0 and
    variance 1 over all tokens of the batch.
    """

    penalises_tokens: ClassVar[bool] = True

    type: Literal["reinforce_pp"] = "reinforce_pp"
    baseline: bool = False
    """Subtract the group's mean reward before the batch is normalised."""
    aggregate: AggregateName = "token_mean"
    kl: KLConfig = KLConfig(place="reward")

    def rule(self, groups: Sequence[Group], inputs: RuleInputs) -> Advantages:
        """Compute advantages per token; ``Advantages.groups`` holds their means."""
        zeros_PGL = [[np.zeros(len(r.token_ids)) for r in g.rollouts] for g in groups]
        advantages_PGL = token_advantages(
            [g.values for g in groups], inputs.penalties_PGL or zeros_PGL, baseline=self.baseline
        )
        means_PG = [
            np.array([row_L.mean() if len(row_L) else np.nan for row_L in rows_GL])
            for rows_GL in advantages_PGL
        ]
        return Advantages([*means_PG], tokens=[*advantages_PGL])


def token_advantages(
    rewards_PG: Sequence[np.ndarray],
    penalties_PGL: Sequence[Sequence[np.ndarray]],
    *,
    baseline: bool,
) -> list[list[np.ndarray]]:
    """Compute float (L,) per group and rollout, NaN for unscored rollouts (after verl).

    Args:
        penalties_PGL: beta (log pi_old - log pi_ref) of each token, or zeros; those of
            unscored rollouts have no effect.
    """
    returns_PGL = [
        [
            reward - np.cumsum(penalty_L[::-1])[::-1]
            for reward, penalty_L in zip(rewards_G, penalties_GL, strict=True)
        ]
        for rewards_G, penalties_GL in zip(
            [group_mean(r) if baseline else r for r in rewards_PG], penalties_PGL, strict=True
        )
    ]
    flat = iter(whiten([x_L for rows_GL in returns_PGL for x_L in rows_GL], epsilon=1e-8))
    return [[next(flat) for _ in rows_GL] for rows_GL in returns_PGL]
