"""Base of all algorithms: settings, a rule, and answers to questions of training.

A method subclasses ``Algorithm`` (or ``GroupAlgorithm``, whose advantage compares the
rollouts of one group), sets its published defaults, and overrides only what differs.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import ValidationInfo, field_validator, model_validator

from kinograd.algo.parts.advantage import is_comparable, normalise
from kinograd.algo.parts.settings import (
    Above0,
    Above1,
    AdvantageName,
    AggregateName,
    Correction,
    DynamicSampling,
    KLConfig,
    NonNegative,
    ObjectiveName,
)
from kinograd.algo.parts.views import Twin
from kinograd.section import Positive, Section, is_table
from kinograd.types import Example, Group, View

State = Mapping[str, Any]
"""Memory of an algorithm from step to step: plain JSON, kept in checkpoints."""


@dataclass(frozen=True)
class RuleInputs:
    """Inputs of a rule beside the scored groups.

    Attributes:
        state: ``Advantages.state`` of the previous step.
        penalties_PGL: KL in the reward: beta (log pi_old - log pi_ref) per group, rollout
            and token; None without.
    """

    state: State = field(default_factory=dict[str, Any])
    penalties_PGL: Sequence[Sequence[np.ndarray]] | None = None


@dataclass(frozen=True)
class Advantages:
    """Advantages of a batch of groups.

    Attributes:
        groups: per group float (G,), NaN for unscored rollouts; None for a dropped group.
        twins: the same for twins that are trained on too; empty if none are.
        tokens: per group and rollout float (L,) where advantages differ between tokens;
            ``groups`` then holds their means.
        state: for the next step.
    """

    groups: list[np.ndarray | None]
    metrics: dict[str, float] = field(default_factory=dict[str, float])
    twins: list[np.ndarray | None] = field(default_factory=list[np.ndarray | None])
    tokens: list[list[np.ndarray] | None] | None = None
    state: State = field(default_factory=dict[str, Any])


class Algorithm(Section):
    """Settings that every method can choose, and what training asks of a method."""

    selects_tokens: ClassVar[bool] = False
    """True if the loss runs over the tokens of ``select_tokens`` only."""
    penalises_tokens: ClassVar[bool] = False
    """``rule`` applies KL penalties token by token; else each reward loses their sum."""

    objective: ObjectiveName = "clip"
    """Ratio and clipping per token (PPO), per response (GSPO, GSPO-token), CISPO, SAPO."""
    aggregate: AggregateName = "sequence_mean"
    """Mean over tokens then responses (GRPO), over all tokens (DAPO), sum over a constant
    (Dr. GRPO), or mean over responses of the tokens' sum (RLOO)."""
    clip_low: NonNegative | None = 0.2
    """Lower bound of the ratio is 1 - ``clip_low``; null leaves that side open."""
    clip_high: NonNegative | None = 0.2
    """Upper bound of the ratio is 1 + ``clip_high``; null leaves that side open."""
    dual_clip: Above1 | None = None
    """Largest ratio of tokens with negative advantage (INTELLECT-2: 4)."""
    tau: tuple[Above0, Above0] = (1.0, 1.05)
    """SAPO's temperatures for positive and for other advantages."""
    kl: KLConfig = KLConfig()
    """KL divergence from the reference policy, as a penalty."""
    old: Literal["sampler", "learner"] = "sampler"
    """Denominator of the ratio: the sampler's log-probs, or the learner's own, recomputed
    before the first update. With ``in_process`` sampling both are the same to rounding."""
    correction: Correction | None = None
    """Importance weights for an engine whose numbers differ; needs ``old: learner``."""
    dynamic: DynamicSampling | None = None
    """Redraw prompts whose group has nothing to compare; null trains on the first batch."""
    epochs: Positive = 1
    """Passes over each batch of rollouts."""
    minibatches: Positive = 1
    """Optimizer steps per pass."""

    @field_validator("kl", "dynamic", mode="before")
    @classmethod
    def _completed(cls, given: Any, info: ValidationInfo) -> Any:
        """Complete a table given in part with the method's other settings."""
        default = cls.model_fields[info.field_name or ""].default
        return {**default.model_dump(), **given} if default and is_table(given) else given

    @model_validator(mode="after")
    def _consistent(self) -> Algorithm:
        if self.correction is not None and self.old != "learner":
            raise ValueError("algo.correction compares with the learner: set algo.old: learner")
        if self.dual_clip is not None and self.dual_clip <= 1 + (self.clip_high or 0):
            raise ValueError("algo.dual_clip must lie above 1 + algo.clip_high")
        return self

    # ------------------------------------------------------ what a method states

    @abstractmethod
    def rule(self, groups: Sequence[Group], inputs: RuleInputs) -> Advantages:
        """Compute the advantages of groups that have two scored rollouts each."""

    def twin(self, example: Example, group_size: int) -> Twin | None:
        """Return the rollouts wanted on a second view, or None."""
        return None

    def scored_views(self, example: Example) -> dict[str, View]:
        """Return the views under which completions are to be scored, by name of the signal."""
        return {}

    def select_tokens(self, signals: Mapping[str, Sequence[np.ndarray]]) -> list[np.ndarray]:
        """Choose the tokens of one group that the loss runs over (``selects_tokens``).

        Args:
            signals: float (L,) per completion: ``entropy``, and for each of
                ``scored_views`` log pi(shown) - log pi(other view).

        Returns:
            bool (L,) per completion.
        """
        return [np.ones(len(row_L), bool) for row_L in signals["entropy"]]

    # ------------------------------------------------------- what training asks

    def advantages(self, groups: Sequence[Group], inputs: RuleInputs | None = None) -> Advantages:
        """Run the rule over a batch; a group without two scored rollouts gets None.

        KL in the reward (``kl.place``) is subtracted first, summed over each response
        (Ahmadian et al. 2024, arXiv 2402.14740).
        """
        inputs = inputs or RuleInputs()
        index = [i for i, g in enumerate(groups) if is_comparable(g.values)]
        chosen = [groups[i] for i in index]
        if inputs.penalties_PGL is not None:
            penalties_PGL = [inputs.penalties_PGL[i] for i in index]
            inputs = replace(inputs, penalties_PGL=penalties_PGL)
            if not self.penalises_tokens:
                chosen = [_penalised(g, p) for g, p in zip(chosen, penalties_PGL, strict=True)]
        result = self.rule(chosen, inputs)

        def spread(values: Sequence[Any]) -> list[Any]:
            """Return the values to the places of all groups."""
            places = dict(zip(index, values, strict=True))
            return [places.get(i) for i in range(len(groups))]

        return replace(
            result,
            groups=spread(result.groups),
            twins=spread(result.twins) if result.twins else [],
            tokens=None if result.tokens is None else spread(result.tokens),
        )

    @property
    def needs_old_logprobs(self) -> bool:
        """True if the learner scores the rollouts before the first update."""
        return self.old == "learner"

    @property
    def needs_ref_logprobs(self) -> bool:
        """True if the loss has a KL term."""
        return self.kl.beta > 0 and self.kl.place == "loss"

    @property
    def penalises_rewards(self) -> bool:
        """Rewards lose a KL penalty before advantages are computed."""
        return self.kl.beta > 0 and self.kl.place == "reward"

    @property
    def on_policy(self) -> bool:
        """Each batch serves one update, so that the ratio is one by construction."""
        return self.epochs == self.minibatches == 1

    @property
    def token_local(self) -> bool:
        """True if the loss of a token depends on no other token."""
        return self.objective not in ("sequence", "sequence_token")


class GroupAlgorithm(Algorithm):
    """Methods whose advantage compares the rollouts of one group."""

    advantage: AdvantageName = "group_std"
    """(R - mean) / (std + 1e-4) of GRPO; R - mean of Dr. GRPO; RLOO's mean of the others; or
    R - mean over the std of the batch."""

    def rule(self, groups: Sequence[Group], inputs: RuleInputs) -> Advantages:
        """Compare each reward with those of its group."""
        return Advantages([*normalise([g.values for g in groups], self.advantage)])


def _penalised(group: Group, penalties_GL: Sequence[np.ndarray]) -> Group:
    """Subtract the penalties of each response from its score."""
    scores = [
        s if s.value is None else replace(s, value=s.value - float(penalties_L.sum()))
        for s, penalties_L in zip(group.scores, penalties_GL, strict=True)
    ]
    return replace(group, scores=tuple(scores))
