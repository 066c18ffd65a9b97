"""RLOO: REINFORCE with the mean of the other rollouts as baseline (Ahmadian et al. 2024)."""

from __future__ import annotations

from typing import Literal

from kinograd.algo.base import GroupAlgorithm
from kinograd.algo.parts.settings import AdvantageName, AggregateName, KLConfig, NonNegative


class Rloo(GroupAlgorithm):
    """RLOO (Ahmadian et al. 2024, arXiv 2402.14740): REINFORCE on responses.

    A_i = R_i - mean of the others; the objective is A log pi of a response, not clipped; KL
    is part of the reward.
    """

    type: Literal["rloo"] = "rloo"
    advantage: AdvantageName = "leave_one_out"
    aggregate: AggregateName = "sequence_sum"
    clip_low: NonNegative | None = None
    clip_high: NonNegative | None = None
    kl: KLConfig = KLConfig(place="reward")
