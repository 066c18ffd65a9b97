"""T-GRPO as in Video-R1's released code."""

from __future__ import annotations

from typing import Literal

from kinograd.algo.parts.settings import KLConfig, NonNegative
from kinograd.algo.t_grpo import TemporalAlgorithm


class VideoR1(TemporalAlgorithm):
    """T-GRPO as in Video-R1's released code: another gate, no clipping, KL clamped at 10.

    The gate opens if mean accuracy >= 0.8 times that of shuffled frames; the bonus is given
    for accuracies above 0.1.
    """

    type: Literal["video_r1"] = "video_r1"
    mu: float = 0.8
    threshold: float | None = 0.1
    gate_on: Literal["correct", "accuracy"] = "accuracy"
    clip_low: NonNegative | None = None
    clip_high: NonNegative | None = None
    kl: KLConfig = KLConfig(beta=0.04)
