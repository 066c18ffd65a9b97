"""The ``algo`` section of a recipe: one class per published method, its defaults the method.

Every method combines the same few choices (advantage, objective, aggregation, KL), so any
of them can be overridden; docs/guide/algorithms.md holds the formulas. Methods come with
the algorithm's own settings, not with the learning rate or the group size of their paper.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from kinograd.config.recipe_errors import is_table
from kinograd.section import Fraction, Positive, Section

Advantage = Literal["group_std", "group_mean", "leave_one_out", "batch_std"]
Objective = Literal["clip", "sequence", "sequence_token", "cispo", "sapo"]
Aggregate = Literal["sequence_mean", "token_mean", "constant", "sequence_sum"]
NonNegative = Annotated[float, Field(ge=0)]
Above0 = Annotated[float, Field(gt=0)]
Above1 = Annotated[float, Field(gt=1)]

# ---------------------------------------------------------------- shared parts


class KLConfig(Section):
    beta: NonNegative = 0.0
    estimator: Literal["k1", "k2", "k3"] = "k3"
    clamp: Above0 | None = 10.0
    """Bound on |log pi_ref - log pi| inside the estimator (Video-R1: 10)."""
    unbiased: bool = False
    """Multiply the estimate by the importance ratio (DeepSeek-V3.2)."""
    place: Literal["loss", "reward"] = "loss"
    """``reward``: beta times the k1 estimate at sampling time is taken off the reward,
    before advantages; estimator, clamp and unbiased then have no effect."""


class Correction(Section):
    """Weights pi_learner / pi_sampler where the engine's arithmetic is not the learner's."""

    level: Literal["token", "sequence"] = "sequence"
    how: Literal["truncate", "mask"] = "mask"
    """Truncated importance sampling, or weight 0 outside of the bounds."""
    high: Above0 = 3.0
    low: NonNegative = 0.0

    @model_validator(mode="after")
    def _ordered(self) -> Correction:
        if self.low >= self.high:
            raise ValueError(f"low {self.low} is not below high {self.high}")
        return self


class DynamicSampling(Section):
    """DAPO: draw prompts until ``rl.prompts_per_step`` groups have something to compare."""

    max_tries: Positive = 10
    """Batches drawn per step; after the last the step trains on what there is."""
    keep: Literal["correct", "reward"] = "correct"
    """Groups with right and wrong answers (DAPO), or with any difference in reward."""


class Algo(Section):
    """What all methods can choose."""

    objective: Objective = "clip"
    """Ratio and clipping per token (PPO), of whole responses (GSPO, GSPO-token), CISPO, SAPO."""
    aggregate: Aggregate = "sequence_mean"
    """Mean over tokens then responses (GRPO), over all tokens (DAPO), sum over a constant
    (Dr. GRPO), or mean over responses of the tokens' sum (RLOO)."""
    clip_low: NonNegative | None = 0.2
    clip_high: NonNegative | None = 0.2
    """The ratio stays within 1 - low and 1 + high; null leaves that side open."""
    dual_clip: Above1 | None = None
    """Largest ratio of tokens with negative advantage (INTELLECT-2: 4)."""
    tau: tuple[Above0, Above0] = (1.0, 1.05)
    """SAPO's temperatures for positive and for other advantages."""
    kl: KLConfig = KLConfig()
    old: Literal["sampler", "learner"] = "sampler"
    """Denominator of the ratio: the sampler's log-probs, or the learner's own, recomputed
    before the first update. With ``in_process`` sampling both are the same to rounding."""
    correction: Correction | None = None
    """Correct for an engine whose numbers differ; needs ``old: learner``."""
    dynamic: DynamicSampling | None = None
    epochs: Positive = 1
    """Passes over each batch of rollouts."""
    minibatches: Positive = 1
    """Optimizer steps per pass."""

    @field_validator("kl", "dynamic", mode="before")
    @classmethod
    def _completed(cls, given: Any, info: ValidationInfo) -> Any:
        """A table given in part keeps the method's other settings, not the section's."""
        default = cls.model_fields[info.field_name or ""].default
        return {**default.model_dump(), **given} if default and is_table(given) else given

    @model_validator(mode="after")
    def _consistent(self) -> Algo:
        if self.correction is not None and self.old != "learner":
            raise ValueError("algo.correction compares with the learner: set algo.old: learner")
        if self.dual_clip is not None and self.dual_clip <= 1 + (self.clip_high or 0):
            raise ValueError("algo.dual_clip must lie above 1 + algo.clip_high")
        return self


class GroupAlgo(Algo):
    """Methods whose advantage compares the rollouts of one group."""

    advantage: Advantage = "group_std"
    """(R-mean)/(std+eps) of GRPO; R-mean of Dr. GRPO; RLOO; std of the whole batch."""


# --------------------------------------------------------------------- methods


class Grpo(GroupAlgo):
    """GRPO (Shao et al. 2024, arXiv 2402.03300, eq. 3-4)."""

    type: Literal["grpo"] = "grpo"


class DrGrpo(GroupAlgo):
    """Dr. GRPO (Liu et al. 2025, arXiv 2503.20783): neither std nor length in the loss."""

    type: Literal["dr_grpo"] = "dr_grpo"
    advantage: Advantage = "group_mean"
    aggregate: Aggregate = "constant"


class Rloo(GroupAlgo):
    """RLOO (Ahmadian et al. 2024, arXiv 2402.14740): REINFORCE on whole responses."""

    type: Literal["rloo"] = "rloo"
    advantage: Advantage = "leave_one_out"
    aggregate: Aggregate = "sequence_sum"
    clip_low: NonNegative | None = None
    clip_high: NonNegative | None = None
    kl: KLConfig = KLConfig(place="reward")


class Dapo(GroupAlgo):
    """DAPO (Yu et al. 2025, arXiv 2503.14476); over-long shaping is ``reward.overlong``."""

    type: Literal["dapo"] = "dapo"
    aggregate: Aggregate = "token_mean"
    clip_high: NonNegative | None = 0.28
    dynamic: DynamicSampling | None = DynamicSampling()


class ReinforcePP(Algo):
    """REINFORCE++ and, with ``baseline``, REINFORCE++-baseline (arXiv 2501.03262)."""

    type: Literal["reinforce_pp"] = "reinforce_pp"
    baseline: bool = False
    """Subtract the group's mean reward before the batch is normalised."""
    aggregate: Aggregate = "token_mean"
    kl: KLConfig = KLConfig(place="reward")


class Gspo(GroupAlgo):
    """GSPO (Zheng et al. 2025, arXiv 2507.18071, eq. 5; section 5.1 for the numbers)."""

    type: Literal["gspo"] = "gspo"
    objective: Objective = "sequence"
    clip_low: NonNegative | None = 3e-4
    clip_high: NonNegative | None = 4e-4
    minibatches: Positive = 4


class GspoToken(GroupAlgo):
    """GSPO-token (same paper): advantages may differ between tokens."""

    type: Literal["gspo_token"] = "gspo_token"
    objective: Objective = "sequence_token"
    clip_low: NonNegative | None = 3e-4
    clip_high: NonNegative | None = 4e-4
    minibatches: Positive = 4


class Cispo(GroupAlgo):
    """CISPO (MiniMax-M1, arXiv 2506.13585); upper bound 5 as in ScaleRL (arXiv 2510.13786)."""

    type: Literal["cispo"] = "cispo"
    objective: Objective = "cispo"
    aggregate: Aggregate = "token_mean"
    clip_low: NonNegative | None = None
    clip_high: NonNegative | None = 4.0


class Sapo(GroupAlgo):
    """SAPO (Gao et al. 2025, arXiv 2511.20347), used for Qwen3-VL."""

    type: Literal["sapo"] = "sapo"
    objective: Objective = "sapo"


class EmaGrpo(Algo):
    """EMA-GRPO (OneThinker, arXiv 2512.03043, and its code)."""

    type: Literal["ema_grpo"] = "ema_grpo"
    decay: Fraction = 0.99
    min_std: Above0 = 1e-3
    guard: Above0 | None = 5.0
    """A group with a larger advantage falls back to its own std (code only)."""
    aggregate: Aggregate = "token_mean"
    clip_high: NonNegative | None = 0.3
    dual_clip: Above1 | None = 3.0
    dynamic: DynamicSampling | None = DynamicSampling()


class Gdpo(Algo):
    """GDPO (Liu et al. 2026, arXiv 2601.05242): every reward normalised on its own."""

    type: Literal["gdpo"] = "gdpo"
    weights: Annotated[dict[str, float], Field(min_length=1)] = {"accuracy": 1.0, "format": 1.0}
    """Weight by name of the reward's part (``Score.parts``); other parts do not count."""


# ------------------------------------------------------------- views of a clip


class Temporal(GroupAlgo):
    """T-GRPO's settings (Feng et al. 2025, arXiv 2503.21776, eq. 1-4)."""

    alpha: float = 0.3
    gate: Literal["ratio", "margin", "test"] = "ratio"
    """How order must have helped: p >= mu p~ (published), p - p~ >= margin, or Fisher's
    exact test of p > p~ at ``level``."""
    mu: float = 1.0
    """Gate ``ratio``: paper 1.0, released code 0.8."""
    margin: NonNegative = 0.25
    level: Fraction = 0.1
    threshold: float | None = None
    """Accuracy above which the bonus is given; null: the reward's ``correct`` (code: 0.1)."""
    gate_on: Literal["correct", "accuracy"] = "correct"
    """Compare shares of correct rollouts (paper) or mean accuracy rewards (code)."""
    bonus_on: Literal["reward", "advantage"] = "reward"
    """On the reward the bonus vanishes under standardisation unless three levels exist."""
    twin_rollouts: Positive | None = None
    """Rollouts on shuffled frames; null: half of the group (published)."""
    shuffle_unit: Literal["frame", "temporal_patch"] = "frame"

    @model_validator(mode="after")
    def _counts(self) -> Temporal:
        if self.gate == "test" and self.gate_on == "accuracy":
            raise ValueError("algo.gate: test counts correct rollouts; set algo.gate_on: correct")
        return self


class TGrpo(Temporal):
    """T-GRPO as in the paper."""

    type: Literal["t_grpo"] = "t_grpo"


class VideoR1(Temporal):
    """T-GRPO as in Video-R1's released code: other gate, no clipping, KL clamped at 10."""

    type: Literal["video_r1"] = "video_r1"
    mu: float = 0.8
    threshold: float | None = 0.1
    gate_on: Literal["correct", "accuracy"] = "accuracy"
    clip_low: NonNegative | None = None
    clip_high: NonNegative | None = None
    kl: KLConfig = KLConfig(beta=0.04)


class OpenR1Video(GroupAlgo):
    """GRPO as in Open-R1-Video's released code (its first version used beta 0.04)."""

    type: Literal["open_r1_video"] = "open_r1_video"
    clip_low: NonNegative | None = None
    clip_high: NonNegative | None = None
    kl: KLConfig = KLConfig(beta=0.1, clamp=11.0)


class VidBridge(GroupAlgo):
    """GRPO as in VidBridge-R1's released code (arXiv 2506.09079): no KL, no clipping."""

    type: Literal["vidbridge"] = "vidbridge"
    clip_low: NonNegative | None = None
    clip_high: NonNegative | None = None
    kl: KLConfig = KLConfig(clamp=11.0)


class VideoKtr(GroupAlgo):
    """Video-KTR (arXiv 2601.19686 and its code): loss on the tokens that vision, order or
    uncertainty decide."""

    type: Literal["video_ktr"] = "video_ktr"
    entropy: Fraction = 0.2
    """Share of a group's tokens kept for their entropy; 0 leaves a signal out."""
    visual: Fraction = 0.2
    """... for what they lose in log-prob when the clip is blank."""
    temporal: Fraction = 0.2
    """... for what they lose in log-prob when its frames are shuffled."""
    shuffle_unit: Literal["frame", "temporal_patch"] = "frame"
    clip_low: NonNegative | None = None
    clip_high: NonNegative | None = None
    kl: KLConfig = KLConfig(beta=0.04)


class Relation(GroupAlgo):
    """Counterfactual relation reward after CRPO (arXiv 2605.21988); see algo/relation.py."""

    type: Literal["relation"] = "relation"
    view: Literal["reversed", "flipped"] = "reversed"
    """Of the second branch, where the label does not name one itself."""
    weight: float = 0.5
    """Of the relation reward, added to the task's."""
    label: str = "dynamic"
    """Key of ``Example.extra``: true, or the name of a view, if that view changes the answer,
    false if it does not. Examples without it get plain GRPO."""
    counterfactual: str = "counterfactual"
    """Key of ``Example.extra`` with the right answer under the view, where it is known."""
    twin_rollouts: Positive | None = None
    """Rollouts on the other view; null: as many as in the group."""


AlgoConfig = Annotated[
    Grpo
    | DrGrpo
    | Rloo
    | Dapo
    | ReinforcePP
    | Gspo
    | GspoToken
    | Cispo
    | Sapo
    | EmaGrpo
    | Gdpo
    | TGrpo
    | VideoR1
    | OpenR1Video
    | VidBridge
    | VideoKtr
    | Relation,
    Field(discriminator="type"),
]
