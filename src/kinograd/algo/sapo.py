"""SAPO: a soft gate on the importance ratio in place of a clip (Gao et al. 2025)."""

from __future__ import annotations

from typing import Literal

from kinograd.algo.base import GroupAlgorithm
from kinograd.algo.parts.settings import ObjectiveName


class Sapo(GroupAlgorithm):
    """SAPO (Gao et al. 2025, arXiv 2511.20347), used for Qwen3-VL.

    GRPO's advantage; sigmoid(tau (r - 1)) (4 / tau) A, tau 1.0 for A > 0, else 1.05.
    """

    type: Literal["sapo"] = "sapo"
    objective: ObjectiveName = "sapo"
