"""Dr. GRPO: GRPO without the two normalisers that bias it (Liu et al. 2025)."""

from __future__ import annotations

from typing import Literal

from kinograd.algo.base import GroupAlgorithm
from kinograd.algo.parts.settings import AdvantageName, AggregateName


class DrGrpo(GroupAlgorithm):
    """Dr. GRPO (Liu et al. 2025, arXiv 2503.20783): neither std nor length in the loss.

    A = R - mean; the sum over tokens is divided by N times ``sampling.max_new_tokens``.
    """

    type: Literal["dr_grpo"] = "dr_grpo"
    advantage: AdvantageName = "group_mean"
    aggregate: AggregateName = "constant"
