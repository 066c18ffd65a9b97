"""Section ``reward`` of a recipe: rules that grade a rollout, and shaping terms."""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar, Literal, cast

from pydantic import AfterValidator, Field, field_validator, model_validator
from pydantic_core import PydanticKnownError

from kinograd.section import Positive, Section

# Reward modes, with what each source uses where a recipe does not say otherwise; their rules are
# in kinograd.rewards.modes.
MODE_DEFAULTS: dict[str, dict[str, Any]] = {
    "default": {"format": "fullmatch", "combine": "sum", "correct_threshold": 0.5},
    "published:video_r1": {"format": "fullmatch", "combine": "sum", "correct_threshold": 0.1},
    "published:video_r1_eval": {"format": "off", "combine": "sum", "correct_threshold": 0.5},
    "published:vidbridge": {"format": "prefix", "combine": "product", "correct_threshold": 0.5},
    "published:open_r1_video": {"format": "off", "combine": "sum", "correct_threshold": 0.5},
    "published:open_r1_video_v1": {"format": "prefix", "combine": "sum", "correct_threshold": 0.5},
    "published:dvd_counting": {"format": "fullmatch", "combine": "sum", "correct_threshold": 0.5},
    "published:dvd_counting_eval": {"format": "off", "combine": "sum", "correct_threshold": 0.5},
}


def _known_mode(mode: str) -> str:
    if mode in MODE_DEFAULTS:
        return mode
    names = [repr(name) for name in MODE_DEFAULTS]
    expected = f"{', '.join(names[:-1])} or {names[-1]}"
    raise PydanticKnownError("literal_error", {"expected": expected})


RewardMode = Annotated[
    str, AfterValidator(_known_mode), Field(json_schema_extra={"enum": list(MODE_DEFAULTS)})
]
# Parts of a Score that graders write; shaping sections add one each.
GRADER_PARTS = {
    "accuracy", "format", "answered", "recall", "precision", "keywords", "consistency",
}  # fmt: skip


class Shaping(Section):
    """Base of the sections that add to a reward; the function is in kinograd.rewards.shaping."""

    part: ClassVar[str]
    """Key of what it adds in ``Score.parts``."""


class LengthBonus(Shaping):
    """Video-R1 equation 5: ``value`` for a correct answer of ``low..high`` tokens."""

    part = "length"
    value: float = 0.2
    """Bonus of a correct answer within the bounds."""
    low: Positive = 320
    """Least tokens of a response that earns the bonus."""
    high: Positive = 512
    """Most tokens of a response that earns the bonus."""
    min_correct: Positive = 2
    """Least correct rollouts of a group that earns the bonus (released code 2, paper 1)."""

    @model_validator(mode="after")
    def _ordered(self) -> LengthBonus:
        if self.low > self.high:
            raise ValueError(f"low {self.low} is above high {self.high}")
        return self


class OverlongPenalty(Shaping):
    """DAPO equation 13: linear from 0 at ``max_tokens - cache`` to -1 at ``max_tokens``."""

    part = "overlong"
    max_tokens: Positive
    """Tokens from which the penalty is -1."""
    cache: Positive
    """Tokens over which the penalty grows from 0 to -1."""

    @model_validator(mode="after")
    def _inside(self) -> OverlongPenalty:
        if self.cache > self.max_tokens:
            raise ValueError(f"cache {self.cache} is above max_tokens {self.max_tokens}")
        return self


class RepetitionPenalty(Shaping):
    """``value`` times the share of n-grams of tokens that occurred before."""

    part = "repetition"
    ngram: Positive = 4
    """Tokens per n-gram."""
    value: float = Field(-0.5, le=0)
    """Reward of a response that consists of repetition only; at most 0."""


class CustomReward(Section):
    """A user's own reward function; docs/guide/rewards.md shows its signature."""

    type: Literal["python"] = "python"
    target: str = Field(pattern=r"^[\w.]+:\w+$")
    """``package.module:function``."""
    name: str | None = None
    """Name of the part it adds; null: the function's."""
    weight: float = 1.0
    """Factor of the function's value."""
    replaces: Literal["accuracy"] | None = None
    """``accuracy``: instead of the built-in grader of the kind; else added to the reward."""

    @property
    def part(self) -> str:
        """Key of this reward in ``Score.parts``."""
        return self.name or self.target.split(":")[1]


class RewardConfig(Section):
    """Rules that turn a response into a reward."""

    mode: RewardMode = "default"
    """Rules that grade; ``published:*`` reproduces a paper's code, faults included."""
    format: Literal["fullmatch", "prefix", "off"] = "fullmatch"
    """Whole text (Video-R1), its beginning (VidBridge-R1), or tags not demanded at all."""
    combine: Literal["sum", "product"] = "sum"
    """``sum``: accuracy + format (Video-R1); ``product``: format x task (VidBridge-R1)."""
    correct_threshold: float = 0.5
    """Accuracy above which a rollout counts as correct (paper 0.5, released code 0.1)."""
    truncated: Literal["mask", "score", "penalise"] = "score"
    """A rollout cut by the token budget: no advantage, graded as it is, or zero."""
    caption_precision: float = 0.5
    """alpha of VidBridge-R1's caption reward: event recall + alpha x event precision."""
    caption_keywords: bool = True
    """Add VidBridge-R1's reward for words of order and against words of doubt."""
    length_bonus: LengthBonus | None = None
    """Video-R1's bonus for long correct answers; null: none."""
    overlong: OverlongPenalty | None = None
    """DAPO's penalty for responses near the token budget; null: none."""
    repetition: RepetitionPenalty | None = None
    """Penalty for repeated n-grams; null: none."""
    consistency: bool = False
    """An answer that the reasoning's own conclusion contradicts earns no task reward."""
    custom: list[CustomReward] = []
    """User's own reward functions."""
    judges: dict[str, str] = {}
    """Judge of each judged kind, for instance ``{dark_event: big, caption: events}``."""

    @model_validator(mode="before")
    @classmethod
    def _as_published(cls, data: Any) -> Any:
        """``format``, ``combine`` and the threshold follow the mode unless they are given."""
        if not isinstance(data, dict):
            return data
        given = cast("dict[str, Any]", data)
        return MODE_DEFAULTS.get(given.get("mode", "default"), {}) | given

    @field_validator("correct_threshold", "caption_precision")
    @classmethod
    def _finite(cls, value: float) -> float:
        if not math.isfinite(value):
            raise ValueError("must be a finite number")
        return value

    @property
    def shaping(self) -> list[Shaping]:
        """Shaping sections that the recipe sets, in the order of their keys."""
        values = (getattr(self, name) for name in type(self).model_fields)
        return [value for value in values if isinstance(value, Shaping)]

    @model_validator(mode="after")
    def _distinct_parts(self) -> RewardConfig:
        names = [c.part for c in self.custom]
        taken = GRADER_PARTS | {section.part for section in Shaping.__subclasses__()}
        twice = {n for n in names if names.count(n) > 1} | (set(names) & taken)
        if twice:
            raise ValueError(f"custom: give each reward its own name; {sorted(twice)} is taken")
        if sum(c.replaces is not None for c in self.custom) > 1:
            raise ValueError("custom: only one reward can replace the accuracy")
        return self
