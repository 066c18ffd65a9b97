"""Settings of teacher models and of ``data annotate``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from kinograd.config.endpoint import EndpointConfig
from kinograd.config.rewards import RewardConfig
from kinograd.config.schema import JudgeConfig, PromptConfig
from kinograd.config.video import VideoConfig
from kinograd.section import Fraction, Positive, Section


class TeacherConfig(EndpointConfig):
    """A teacher; sampling defaults to that of Video-R1's chains of thought."""

    api_key_env: str = "KINOGRAD_TEACHER_KEY"
    timeout_s: float = Field(default=300.0, gt=0)
    deadline_s: float = Field(default=900.0, gt=0)
    """Time limit of one request from its first attempt on, all attempts and waits together."""
    give_up_after: Positive = 16
    """Number of failures in a row after which the command stops."""
    temperature: float = Field(default=1.0, ge=0)
    """Sampling temperature."""
    top_p: float = Field(default=0.95, gt=0, le=1)
    """Probability mass of the tokens that may be drawn."""
    max_tokens: Positive = 512
    """Longest reply, in tokens."""
    jpeg_quality: Annotated[int, Field(ge=1, le=100)] = 90
    """JPEG quality of the frames sent, 1 to 100."""
    price_in: float = Field(default=0.0, ge=0)
    """Price of a million prompt tokens; with prices the cost is printed."""
    price_out: float = Field(default=0.0, ge=0)
    """Price of a million reply tokens."""


class AnnotateConfig(Section):
    """Settings of ``data annotate``; they default to those of Video-R1's 165k chains of thought."""

    teacher: TeacherConfig
    """Model that writes the rationales: teacher.urls=[URL] teacher.model=NAME."""
    media_root: str = "."
    """Folder under which media lie."""
    video: VideoConfig = VideoConfig(preset="video_r1_train")
    """Sampling of the clips that the teacher sees."""
    prompt: PromptConfig = PromptConfig(template="video_r1_eval")
    """Wording of the question."""
    reward: RewardConfig = RewardConfig()
    """Grader of the replies."""
    judges: dict[str, JudgeConfig] = {}
    """Judges that reward.judges routes kinds to."""
    samples: Positive = 1
    """Number of replies per row."""
    agree: Fraction = 0.5
    """Least share of the replies that must be right, hence agree with each other."""
    threshold: float = 0.6
    """Accuracy above which a reply is right."""
    max_failed_fraction: Fraction = 0.05
    """Share of rows without an answer above which the command fails, after writing its files."""
