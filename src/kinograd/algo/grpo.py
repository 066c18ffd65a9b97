"""GRPO: rewards compared with their group, standardised (Shao et al. 2024)."""

from __future__ import annotations

from typing import Literal

from kinograd.algo.base import GroupAlgorithm


class Grpo(GroupAlgorithm):
    """GRPO (Shao et al. 2024, DeepSeekMath, arXiv 2402.03300, eq. 3-4).

    A = (R - mean) / (std + 1e-4); the objective min(r A, clip(r, 0.8, 1.2) A) is averaged
    over the tokens of a response, then over responses.
    """

    type: Literal["grpo"] = "grpo"
