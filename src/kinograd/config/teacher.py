"""A teacher, a model behind OpenAI-compatible URLs that writes data, and what it is to do."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from kinograd.config.endpoint import EndpointConfig
from kinograd.config.rewards import RewardConfig
from kinograd.config.schema import JudgeConfig, PromptConfig
from kinograd.config.video import VideoConfig
from kinograd.section import Fraction, Positive, Section


class TeacherConfig(EndpointConfig):
    """The defaults of the sampling are those of Video-R1's chains of thought."""

    api_key_env: str = "KINOGRAD_TEACHER_KEY"
    timeout_s: float = Field(default=300.0, gt=0)
    deadline_s: float = Field(default=900.0, gt=0)
    """For one request, all attempts and waits together, from the first attempt on."""
    give_up_after: Positive = 16
    """Failures without a success in between, upon which the teacher counts as down."""
    temperature: float = Field(default=1.0, ge=0)
    top_p: float = Field(default=0.95, gt=0, le=1)
    max_tokens: Positive = 512
    jpeg_quality: Annotated[int, Field(ge=1, le=100)] = 90
    price_in: float = Field(default=0.0, ge=0)
    """Price of a million prompt tokens; with ``price_out`` the cost is shown."""
    price_out: float = Field(default=0.0, ge=0)


class AnnotateConfig(Section):
    """``data annotate``; the defaults are those of Video-R1's 165k chains of thought."""

    teacher: TeacherConfig
    media_root: str
    video: VideoConfig = VideoConfig(preset="video_r1_train")
    prompt: PromptConfig = PromptConfig(template="video_r1_eval")
    reward: RewardConfig = RewardConfig()
    judges: dict[str, JudgeConfig] = {}
    samples: Positive = 1
    """Replies per row."""
    agree: Fraction = 0.5
    """Share of the replies that must be right, hence agree with each other."""
    threshold: float = 0.6
    """A reply is right if its accuracy is above this."""
    max_failed_fraction: Fraction = 0.05
    """Share of rows without an answer upon which the command fails, its files written."""
