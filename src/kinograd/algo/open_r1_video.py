"""GRPO as in Open-R1-Video's released code."""

from __future__ import annotations

from typing import Literal

from kinograd.algo.base import GroupAlgorithm
from kinograd.algo.parts.settings import KLConfig, NonNegative


class OpenR1Video(GroupAlgorithm):
    """GRPO as in Open-R1-Video's released code (its first version used beta 0.04).

    No clipping; KL in the loss with beta 0.1, estimator k3 with |x| <= 11.
    """

    type: Literal["open_r1_video"] = "open_r1_video"
    clip_low: NonNegative | None = None
    clip_high: NonNegative | None = None
    kl: KLConfig = KLConfig(beta=0.1, clamp=11.0)
