"""Recipe sections of ``kinograd demo``: synthetic world, tiny model, controls."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from kinograd.section import Fraction, Positive, Section


class SyntheticSplit(Section):
    """Rows of one split."""

    rows: Positive
    """Number of rows."""
    families: list[str] | None = None
    """Families of the split; null: those of ``synthetic.families``."""
    rationale_fraction: Fraction = 1.0
    """Share of rows with a worked rationale; the others are terse."""
    terse: bool = True
    """Write "looks like X" as the rationale of the other rows; false: none at all."""


class SyntheticConfig(Section):
    """Synthetic world: families, rows per split, and difficulty."""

    families: list[str] = ["order", "first", "turn", "swap", "colour"]
    """Families in equal shares, in rotation."""
    splits: dict[str, Positive | SyntheticSplit]
    """Rows by split; no scene is in two splits."""
    size: Annotated[int, Field(ge=28, multiple_of=2)] = 56
    """Height and width in pixels."""
    frames: Annotated[int, Field(ge=16, multiple_of=4)] = 16
    """Number of frames of a clip."""
    events: tuple[Positive, Positive] = (3, 5)
    """Least and most events of a clip."""
    event_frames: Annotated[int, Field(ge=1)] = 2
    """Length of a flash in frames; 2 is one temporal patch."""
    distractors: int = Field(default=0, ge=0)
    """Number of still grey objects that no question is about."""
    occluders: int = Field(default=0, ge=0)
    """Number of grey bars that cross in front of the scene."""
    noise: float = Field(default=0.0, ge=0)
    """Standard deviation of pixel noise, on the 0..255 scale."""
    texture: float = Field(default=0.0, ge=0)
    """Amplitude of each clip's own background pattern, on the 0..255 scale."""
    paraphrase: bool = False
    """Draw among several wordings of each question."""
    rules: bool = False
    """Questions about a hidden state say what each colour does; else it has to be learned."""
    multiple_choice: bool = False
    """Lettered options, in a fixed order, where a family has a small set of answers."""
    seed: int = 0
    """Seed of scenes and questions."""
    workers: Positive = 2
    """Processes that render clips."""

    @model_validator(mode="after")
    def _fits(self) -> SyntheticConfig:
        slots = self.frames // self.event_frames
        if slots < 4:
            raise ValueError(f"synthetic.event_frames must be at most a quarter of {self.frames}")
        if not 2 <= self.events[0] <= self.events[1] <= min(6, slots):
            raise ValueError(
                f"synthetic.events must rise from at least 2 to at most {min(6, slots)} (six "
                f"colours, {slots} times in {self.frames} frames), not {self.events}"
            )
        return self


class TinyModelConfig(Section):
    """Model with the architecture of Qwen2.5-VL, built from scratch."""

    size: str = "0.8m"
    """Number of parameters, by name."""
    seed: int = 0
    """Seed of the weights."""


class SftControl(Section):
    """Continue supervised training of the baseline instead."""

    type: Literal["sft"] = "sft"
    sections: dict[str, Any]
    """Sections of an sft recipe; the number of steps follows from the time."""


class RftControl(Section):
    """Rejection-sampling fine-tuning in rounds: sample, keep right answers, imitate them."""

    type: Literal["rft"] = "rft"
    questions: str
    """JSONL file of the world."""
    rounds: Positive = 3
    """Rounds of sampling and imitation."""
    samples: Positive = 8
    """Answers per question, at temperature 1."""
    sampling_fraction: Fraction = 0.4
    """Share of the time that sampling takes."""
    sections: dict[str, Any]
    """Sections of an sft recipe for the imitation."""


class DecodeControl(Section):
    """Decode the baseline under other settings; no training."""

    type: Literal["decode"] = "decode"
    bad_words: Annotated[list[str], Field(min_length=1)]
    """Words never drawn (``sampling.bad_words``)."""


DemoControl = Annotated[SftControl | RftControl | DecodeControl, Field(discriminator="type")]
