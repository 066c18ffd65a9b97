"""Vocabulary of Kinograd as data: frozen dataclasses that the stages exchange.

Every stage is a function between them, so that each can be tested alone. The module
imports no torch: configuration, rewards and reports load in a fraction of a second.

Shape legend: T frames, C channels, H height, W width, G rollouts in a group.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

import numpy as np


class Kind(StrEnum):
    """Form of the answer that an Example asks for, which selects its grader."""

    MULTIPLE_CHOICE = "multiple_choice"
    NUMERICAL = "numerical"
    OCR = "ocr"
    FREE_FORM = "free_form"
    REGRESSION = "regression"
    DARK_EVENT = "dark_event"
    MIX_VID = "mix_vid"
    CAPTION = "caption"


class StopReason(StrEnum):
    """Reason why a rollout ended."""

    END = "end"  # the model closed its turn
    LENGTH = "length"  # the token budget ran out: the answer is truncated


class Unscored(StrEnum):
    """Reason why a rollout has no score. Unscored is not wrong: it carries no advantage."""

    TRUNCATED = "truncated"
    EMPTY = "empty"
    PARSE = "parse"
    JUDGE_UNAVAILABLE = "judge_unavailable"
    JUDGE_UNPARSABLE = "judge_unparsable"
    JUDGE_TIMEOUT = "judge_timeout"
    GRADER_ERROR = "grader_error"


# --------------------------------------------------------------------- media


@dataclass(frozen=True, slots=True)
class Span:
    """A half-open piece [start, end) of a source file, in seconds; ``end=None`` is its end."""

    path: str
    start: float = 0.0
    end: float | None = None


@dataclass(frozen=True, slots=True)
class Black:
    """Black frames for ``duration`` seconds (DarkEventInfer hides an event with it)."""

    duration: float


@dataclass(frozen=True, slots=True)
class Cut:
    """An edit decision list: spans of source files and black, played one after another.

    Nothing is re-encoded; a Cut behaves exactly like the file it would render to.
    """

    segments: tuple[Span | Black, ...]

    @classmethod
    def whole(cls, path: str) -> Cut:
        """Make the cut that plays one file from start to end."""
        return cls((Span(path),))

    @property
    def paths(self) -> tuple[str, ...]:
        """Distinct source files, in order of first use."""
        return tuple(dict.fromkeys(s.path for s in self.segments if isinstance(s, Span)))


class MediaType(StrEnum):
    VIDEO = "video"
    IMAGE = "image"


@dataclass(frozen=True, slots=True)
class Media:
    """One medium of an Example. An image is a Cut of one whole file."""

    type: MediaType
    cut: Cut


@dataclass(frozen=True, slots=True)
class VideoSpec:
    """Sampling contract shared by rollout, training, evaluation and serving.

    Either ``fps`` (with ``min_frames``/``max_frames``) or ``nframes``. Pixel limits
    are per frame, before rounding to ``size_factor`` (patch x merge, set by the model:
    28 for Qwen2-VL and Qwen2.5-VL, 32 for Qwen3-VL). ``total_pixels`` limits
    frames x pixels / frame_factor over the clip, as qwen-vl-utils does. Images have
    limits of their own; None means the video's.

    Raises:
        ValueError: if the numbers contradict each other.
    """

    fps: float | None = 2.0
    nframes: int | None = None
    min_frames: int = 4
    max_frames: int = 768
    min_pixels: int = 128 * 28 * 28
    max_pixels: int = 768 * 28 * 28
    total_pixels: int | None = None
    frame_factor: int = 2
    size_factor: int = 28
    resample: str = "bicubic"  # bicubic | bilinear | area | lanczos
    image_min_pixels: int | None = None
    image_max_pixels: int | None = None

    def __post_init__(self) -> None:
        if (self.fps is None) == (self.nframes is None):
            raise ValueError("set exactly one of fps and nframes (the other to null)")
        if self.fps is not None and self.fps <= 0:
            raise ValueError(f"fps must be positive, not {self.fps}")
        if self.nframes is not None and self.nframes < 1:
            raise ValueError(f"nframes must be at least 1, not {self.nframes}")
        if not 1 <= self.min_frames <= self.max_frames:
            raise ValueError(
                f"need 1 <= min_frames <= max_frames, not {self.min_frames}, {self.max_frames}"
            )
        if not 1 <= self.min_pixels <= self.max_pixels:
            raise ValueError(
                f"need 1 <= min_pixels <= max_pixels, not {self.min_pixels}, {self.max_pixels}"
            )
        low, high = self.image_pixels
        if not 1 <= low <= high:
            raise ValueError(f"need 1 <= image_min_pixels <= image_max_pixels, not {low}, {high}")
        if self.frame_factor < 1 or self.size_factor < 1:
            raise ValueError("frame_factor and size_factor must be at least 1")
        if self.resample not in ("bicubic", "bilinear", "area", "lanczos"):
            raise ValueError(f"unknown resample {self.resample!r}")

    @property
    def image_pixels(self) -> tuple[int, int]:
        """Least and most pixels of an image."""
        low, high = self.image_min_pixels, self.image_max_pixels
        return self.min_pixels if low is None else low, self.max_pixels if high is None else high


@dataclass(frozen=True, slots=True)
class Clip:
    """Decoded, sampled and resized frames of one Cut under one VideoSpec.

    Attributes:
        frames: uint8 array (T, C, H, W), RGB; T = 1 for an image.
        timestamps: float64 array (T,), seconds on the cut's own timeline.
        native_fps: frames per second of the source.
        fps: frames per second after sampling (T / duration); M-RoPE's time scale.
        duration: seconds of the cut's timeline.
        damaged: None, or what could not be read (only with ``on_damage: partial``).
    """

    frames: np.ndarray
    timestamps: np.ndarray
    native_fps: float
    fps: float
    duration: float
    damaged: str | None = None


class ViewKind(StrEnum):
    ORDERED = "ordered"
    SHUFFLED = "shuffled"
    REVERSED = "reversed"
    FLIPPED = "flipped"  # left and right swapped
    MASKED = "masked"
    BLANK = "blank"


@dataclass(frozen=True, slots=True)
class View:
    """A transform of a Clip. T-GRPO compares ``ordered`` with ``shuffled``.

    ``unit`` is what a shuffle permutes: single frames (Video-R1) or temporal patches
    of two frames, which lets cached vision features be permuted instead of recomputed.
    ``intervals`` are (start, end) seconds blackened by ``masked``.
    """

    kind: ViewKind = ViewKind.ORDERED
    unit: str = "frame"  # frame | temporal_patch
    intervals: tuple[tuple[float, float], ...] = ()

    @property
    def name(self) -> str:
        return self.kind.value


ORDERED = View()

# ------------------------------------------------------------------- examples


@dataclass(frozen=True, slots=True)
class Example:
    """One question about one or more media, with its gold answer: one row of JSONL.

    ``question`` may hold ``<video>`` and ``<image>`` placeholders, one per medium in
    order; without them the media come first. ``answer`` is bare text, without tags.
    ``rationale`` is a worked solution (the inside of <think>) for supervised cold start.
    """

    id: str
    kind: Kind
    question: str
    answer: str
    media: tuple[Media, ...]
    options: tuple[str, ...] = ()
    rationale: str | None = None
    source: str = ""
    split: str = "train"
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any])


# ------------------------------------------------------------ rollouts, scores


@dataclass(frozen=True, slots=True)
class Rollout:
    """One sampled response.

    Attributes:
        token_ids: int64 array (L,), the end-of-turn token included when it was sampled.
        logprobs: float32 array (L,), behaviour log-probabilities at the sampling
            temperature of the *unfiltered* distribution (what a learner recomputes).
        text: decoded response without special tokens.
        stop: why it ended.
    """

    token_ids: np.ndarray
    logprobs: np.ndarray
    text: str
    stop: StopReason


@dataclass(frozen=True, slots=True)
class Score:
    """Grade of one rollout: a value with named parts, or unscored with a reason.

    ``correct`` says whether the task was solved (accuracy above the rubric's
    threshold); T-GRPO's bonus and the length bonus share this one definition.
    """

    value: float | None
    parts: Mapping[str, float] = field(default_factory=dict[str, float])
    unscored: Unscored | None = None
    correct: bool = False
    detail: str = ""
    answer: str | None = None
    """Text that was graded; None if the response holds no answer."""

    def __post_init__(self) -> None:
        if (self.value is None) != (self.unscored is not None):
            raise ValueError("a Score is either a value or unscored with a reason")

    @classmethod
    def none(cls, reason: Unscored, detail: str = "", **parts: float) -> Score:
        """Return an unscored Score with the parts that could be computed, for the record."""
        return cls(None, parts, reason, False, detail)


@dataclass(frozen=True, slots=True)
class Group:
    """G rollouts of one Example under one View, with their scores once graded.

    ``twin`` is the same Example under another View (T-GRPO: shuffled frames).
    """

    example: Example
    view: View
    rollouts: tuple[Rollout, ...]
    scores: tuple[Score, ...] = ()
    twin: Group | None = None

    @property
    def values(self) -> np.ndarray:
        """float64 (G,): score values, NaN where unscored."""
        return np.array([np.nan if s.value is None else s.value for s in self.scores])

    @property
    def correct(self) -> np.ndarray:
        """bool (G,): solved; False where unscored."""
        return np.array([s.correct for s in self.scores], dtype=bool)

    @property
    def scored(self) -> np.ndarray:
        """bool (G,): which rollouts have a score."""
        return np.array([s.unscored is None for s in self.scores], dtype=bool)


# --------------------------------------------------------------------- judges


@dataclass(frozen=True, slots=True)
class JudgeRequest:
    """One answer to be judged against its reference. ``candidate`` is the <answer> span only.

    ``events``: the reference's events where the data carries them (DREAM-1K's
    ``extra.events``); without them a caption judge extracts them once.
    """

    kind: Kind
    question: str
    reference: str
    candidate: str
    events: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """Result of a judge: a value (dark_event 0/1/2, mix_vid 0/1, caption recall and
    precision in ``parts``) or unscored with a reason. An outage is never a zero."""

    value: float | None
    parts: Mapping[str, float] = field(default_factory=dict[str, float])
    unscored: Unscored | None = None
    label: str = ""
    detail: str = ""


class Judge(Protocol):
    """Scores free text. Verdicts come back in the order of the requests."""

    name: str

    async def judge(self, requests: Sequence[JudgeRequest]) -> list[Verdict]: ...


# --------------------------------------------------------------------- errors


class KinogradError(Exception):
    """Error that the user can fix; its message names the cause and the fix.

    The command line prints it without a traceback and exits with status 1.
    """


class UsageError(KinogradError):
    """A wrong command line or recipe: exit status 2."""


class DataError(KinogradError):
    """A row or file that breaks the data contract."""
