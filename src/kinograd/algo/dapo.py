"""DAPO: GRPO with clip-higher, a token mean and dynamic sampling (Yu et al. 2025)."""

from __future__ import annotations

from typing import Literal

from kinograd.algo.base import GroupAlgorithm
from kinograd.algo.parts.settings import AggregateName, DynamicSampling, NonNegative


class Dapo(GroupAlgorithm):
    """DAPO (Yu et al. 2025, arXiv 2503.14476); over-long shaping is ``reward.overlong``.

    GRPO's advantage; clip(r, 0.8, 1.28); mean over all tokens of the minibatch; groups with
    only right or only wrong answers are redrawn.
    """

    type: Literal["dapo"] = "dapo"
    aggregate: AggregateName = "token_mean"
    clip_high: NonNegative | None = 0.28
    dynamic: DynamicSampling | None = DynamicSampling()
