"""Settings of sampling, and the engines that a recipe may name.

A new engine is a section here, a member of ``RolloutConfig``, and ``rollout/<engine>.py``.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from kinograd.section import Positive, Section


class SamplingConfig(Section):
    """Distribution from which responses are drawn."""

    max_new_tokens: Positive = 768
    """Longest response in tokens; a longer one is cut and counts as truncated."""
    temperature: float = Field(default=1.0, ge=0)
    """Temperature of the distribution; 0 is greedy."""
    top_p: float = Field(default=1.0, gt=0, le=1)
    """Draw from the likeliest tokens whose probabilities add up to this; 1: from all."""
    top_k: int = Field(default=0, ge=0)
    """Draw from this many of the likeliest tokens; 0: from all."""
    bad_words: list[str] = []
    """Words never drawn; each must be one token of the model, with or without a leading space."""


class InProcess(Section):
    """Engine in the learner's process, on its weights and its prefixes."""

    engine: ClassVar[str] = "kinograd.rollout.in_process:InProcessEngine"
    type: Literal["in_process"] = "in_process"
    max_rows: Positive = 256
    """Rollouts decoded together; bounds the memory of their keys and values."""


# A second engine makes this Annotated[InProcess | Other, Field(discriminator="type")];
# pydantic takes no discriminator for a union of one. Every recipe that sets ``rollout`` names
# its ``type``, because a discriminated union demands it.
RolloutConfig = InProcess
