"""Settings of sampling, and the engines that a recipe may name.

A new engine is a section here, a member of ``RolloutConfig``, and ``rollout/<engine>.py``.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from kinograd.section import Positive, Section


class SamplingConfig(Section):
    max_new_tokens: Positive = 768
    temperature: float = Field(default=1.0, ge=0)
    top_p: float = Field(default=1.0, gt=0, le=1)
    top_k: int = Field(default=0, ge=0)
    """0: no limit."""
    bad_words: list[str] = []
    """Never drawn; each must be one token of the model, alone or after a space."""


class InProcess(Section):
    engine: ClassVar[str] = "kinograd.rollout.in_process:InProcessEngine"
    type: Literal["in_process"] = "in_process"
    max_rows: Positive = 256
    """Rollouts decoded together; bounds the memory of their keys and values."""


# A second engine makes this Annotated[InProcess | Other, Field(discriminator="type")];
# pydantic takes no discriminator for a union of one.
RolloutConfig = InProcess
