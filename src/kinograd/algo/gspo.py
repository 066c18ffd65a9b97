"""GSPO and GSPO-token: the importance ratio of responses (Zheng et al. 2025)."""

from __future__ import annotations

from typing import Literal

from kinograd.algo.base import GroupAlgorithm
from kinograd.algo.parts.settings import NonNegative, ObjectiveName
from kinograd.section import Positive


class Gspo(GroupAlgorithm):
    """GSPO (Zheng et al. 2025, arXiv 2507.18071, eq. 5; numbers of section 5.1).

    GRPO's advantage; min(s A, clip(s, 1 - 3e-4, 1 + 4e-4) A) with s = exp(mean_t log r_t).
    """

    type: Literal["gspo"] = "gspo"
    objective: ObjectiveName = "sequence"
    clip_low: NonNegative | None = 3e-4
    clip_high: NonNegative | None = 4e-4
    minibatches: Positive = 4


class GspoToken(GroupAlgorithm):
    """GSPO-token (arXiv 2507.18071): advantages may differ between tokens.

    s_t = sg(s) pi / sg(pi) in place of GSPO's s: the same number, but each token's gradient
    is weighted by its own advantage.
    """

    type: Literal["gspo_token"] = "gspo_token"
    objective: ObjectiveName = "sequence_token"
    clip_low: NonNegative | None = 3e-4
    clip_high: NonNegative | None = 4e-4
    minibatches: Positive = 4
