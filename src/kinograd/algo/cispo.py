"""CISPO: the importance weight is clipped, never the token (MiniMax-M1)."""

from __future__ import annotations

from typing import Literal

from kinograd.algo.base import GroupAlgorithm
from kinograd.algo.parts.settings import AggregateName, NonNegative, ObjectiveName


class Cispo(GroupAlgorithm):
    """CISPO (MiniMax-M1, arXiv 2506.13585); upper bound 5 as in ScaleRL (arXiv 2510.13786).

    GRPO's advantage; sg(min(r, 5)) A log pi; mean over all tokens of the minibatch.
    """

    type: Literal["cispo"] = "cispo"
    objective: ObjectiveName = "cispo"
    aggregate: AggregateName = "token_mean"
    clip_low: NonNegative | None = None
    clip_high: NonNegative | None = 4.0
