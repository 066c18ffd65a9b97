"""MaxRL: rewards divided by the mean of their group (Tajwar et al. 2026)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from kinograd.algo.base import Advantages, Algorithm, RuleInputs
from kinograd.algo.parts.advantage import group_mean
from kinograd.types import Group


class MaxRl(Algorithm):
    """MaxRL (Tajwar et al. 2026, arXiv 2602.02710; prime-rl), for rewards that are not negative.

    A = (R - mean) / mean, or 0 where the mean is not positive. With rewards 0 and 1 (set
    ``reward.format: off``) the gradient is that of the log-likelihood of a right answer,
    truncated at order G: a success of probability p counts about 1 / p.
    """

    type: Literal["max_rl"] = "max_rl"

    def rule(self, groups: Sequence[Group], inputs: RuleInputs) -> Advantages:
        """Divide each centred reward by the mean of its group."""
        return Advantages([relative_to_mean(g.values) for g in groups])


def relative_to_mean(rewards_G: np.ndarray) -> np.ndarray:
    """Return (R - mean R) / mean R, float (G,); zeros where the mean is not positive.

    >>> relative_to_mean(np.array([1.0, 0.0, 0.0, 0.0])).tolist()
    [3.0, -1.0, -1.0, -1.0]
    """
    mean = np.nanmean(rewards_G)
    return group_mean(rewards_G) / mean if mean > 0 else rewards_G * 0.0
