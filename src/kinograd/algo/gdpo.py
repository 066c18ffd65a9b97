"""GDPO: every reward normalised separately, then their sum (Liu et al. 2026)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from kinograd.algo.base import Advantages, Algorithm, RuleInputs
from kinograd.algo.parts.advantage import group_std, is_comparable, whiten
from kinograd.types import Group, UsageError


class Gdpo(Algorithm):
    """GDPO (Liu et al. 2026, arXiv 2601.05242; NVlabs/GDPO, TRL).

    Every reward is standardised within its group; the weighted sum is then standardised over
    the batch, so that the number of rewards does not change its scale.
    """

    type: Literal["gdpo"] = "gdpo"
    weights: Annotated[dict[str, float], Field(min_length=1)] = {"accuracy": 1.0, "format": 1.0}
    """Weight by name of the reward's part (``Score.parts``); other parts do not count."""

    def rule(self, groups: Sequence[Group], inputs: RuleInputs) -> Advantages:
        """Normalise the named parts of the scores.

        Raises:
            UsageError: no rollout of the batch has a reward of one of the names.
        """
        names = {name for g in groups for s in g.scores for name in s.parts}
        if groups and (missing := self.weights.keys() - names):
            raise UsageError(
                f"algo.weights: no rollout has a reward named {', '.join(sorted(missing))}; "
                f"this recipe's rewards are {', '.join(sorted(names))}"
            )
        return Advantages([*decoupled([_parts(g, self.weights) for g in groups], self.weights)])


def decoupled(
    parts_P: Sequence[Mapping[str, np.ndarray]], weights: Mapping[str, float]
) -> list[np.ndarray]:
    """Compute float (G,) per group; NaN for a rollout without any comparable reward.

    Args:
        parts_P: per group, float (G,) by name of the reward; NaN where a rollout has none,
            which then contributes nothing.
    """
    combined_PG: list[np.ndarray] = []
    for parts in parts_P:
        rows = np.stack([weights[name] * _standardised(parts[name]) for name in weights])
        total_G = np.nansum(rows, axis=0)
        combined_PG.append(np.where(np.isfinite(rows).any(axis=0), total_G, np.nan))
    return whiten(combined_PG)


def _standardised(rewards_G: np.ndarray) -> np.ndarray:
    """Standardise as GRPO does; NaN throughout where fewer than two rollouts have this reward."""
    return group_std(rewards_G) if is_comparable(rewards_G) else np.full_like(rewards_G, np.nan)


def _parts(group: Group, names: Mapping[str, float]) -> dict[str, np.ndarray]:
    """Return float (G,) by name, NaN where a rollout is unscored or lacks the part."""
    return {
        name: np.array(
            [np.nan if s.value is None else s.parts.get(name, np.nan) for s in group.scores]
        )
        for name in names
    }
