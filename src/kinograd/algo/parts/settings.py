"""Settings that several algorithms share."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from kinograd.section import Positive, Section
from kinograd.types import Group

AdvantageName = Literal["group_std", "group_mean", "leave_one_out", "batch_std"]
ObjectiveName = Literal["clip", "sequence", "sequence_token", "cispo", "sapo"]
AggregateName = Literal["sequence_mean", "token_mean", "constant", "sequence_sum"]
NonNegative = Annotated[float, Field(ge=0)]
Above0 = Annotated[float, Field(gt=0)]
Above1 = Annotated[float, Field(gt=1)]


class KLConfig(Section):
    """KL divergence from the reference policy, as a penalty."""

    beta: NonNegative = 0.0
    """Weight of the penalty; 0 needs no reference policy."""
    estimator: Literal["k1", "k2", "k3"] = "k3"
    """Estimate per token from x = log pi_ref - log pi: -x, x^2 / 2, or exp(x) - x - 1."""
    clamp: Above0 | None = 10.0
    """Bound on |x| inside the estimator (Video-R1: 10); null leaves it open."""
    unbiased: bool = False
    """Multiply the estimate by the importance ratio (DeepSeek-V3.2)."""
    place: Literal["loss", "reward"] = "loss"
    """``reward`` subtracts beta times the k1 estimate at sampling time from the reward,
    before advantages; ``estimator``, ``clamp`` and ``unbiased`` then have no effect."""


class Correction(Section):
    """Weights pi_learner / pi_sampler for an engine whose arithmetic is not the learner's."""

    level: Literal["token", "sequence"] = "sequence"
    """One weight per token, or one per response (the product over its tokens)."""
    how: Literal["truncate", "mask"] = "mask"
    """Outside of the bounds: clip the weight to them, or set it to 0."""
    high: Above0 = 3.0
    """Upper bound of the weight."""
    low: NonNegative = 0.0
    """Lower bound of the weight."""

    @model_validator(mode="after")
    def _ordered(self) -> Correction:
        if self.low >= self.high:
            raise ValueError(f"low {self.low} is not below high {self.high}")
        return self


class DynamicSampling(Section):
    """Redraw prompts until ``rl.prompts_per_step`` groups have something to compare (DAPO)."""

    max_tries: Positive = 10
    """Batches drawn per step; after the last one the step trains on the groups it has."""
    keep: Literal["correct", "reward"] = "correct"
    """Keep groups with right and wrong answers (DAPO), or with any difference in reward."""

    def keeps(self, group: Group) -> bool:
        """Tell a group to train on from one without two different outcomes."""
        values_G = group.correct.astype(float) if self.keep == "correct" else group.values
        values_G = values_G[group.scored]
        return len(values_G) >= 2 and float(values_G.max()) > float(values_G.min())
