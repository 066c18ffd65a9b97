"""GRPO as in VidBridge-R1's released code."""

from __future__ import annotations

from typing import Literal

from kinograd.algo.base import GroupAlgorithm
from kinograd.algo.parts.settings import KLConfig, NonNegative


class VidBridge(GroupAlgorithm):
    """GRPO as in VidBridge-R1's released code (arXiv 2506.09079): no KL, no clipping."""

    type: Literal["vidbridge"] = "vidbridge"
    clip_low: NonNegative | None = None
    clip_high: NonNegative | None = None
    kl: KLConfig = KLConfig(clamp=11.0)
