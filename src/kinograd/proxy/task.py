"""A proxy task as an object: its settings, and how its rows are built.

Times are seconds.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from kinograd.config.data_formats import DataFormat
from kinograd.config.schema import JudgeConfig, LexicalJudge
from kinograd.config.teacher import TeacherConfig
from kinograd.config.video import VideoConfig
from kinograd.curate.events import Event
from kinograd.datasets.rows import Rejected
from kinograd.endpoint.replies import Failure
from kinograd.proxy.source_video import SourceVideo
from kinograd.proxy.teacher_tools import Record, TeacherTools
from kinograd.section import Fraction, Positive, Section
from kinograd.types import Example

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Length = Annotated[float, Field(gt=0, allow_inf_nan=False)]
ShotFinder = Callable[[Sequence[SourceVideo]], Iterator[tuple[Event, ...] | Rejected]]
"""Find the shots of each video, as events without text, or say why it has none."""

_ORDERED = (("shortest", "longest"), ("shortest", "total"), ("fewest", "most"))


class ProxyTask(Section, ABC):
    """Settings that all proxy tasks share; a task adds its own and says how rows are built."""

    name: ClassVar[str]
    """Part of the rows' ids and of every draw; with dashes the name on the command line."""
    about: ClassVar[str]
    """Line of help."""

    media_root: str | None = None
    """Folder under which media lie; null: the folder of raw clips, else the working folder."""
    format: DataFormat = "auto"
    """Format of the data files."""
    layout: str | None = None
    """Paths of media in annotation files, such as {subset}/{id}.mp4; null: the format's own."""
    seed: int = 0
    """Seed of every draw."""
    test_fraction: Fraction | None = None
    """Share of source files held out for split test; null keeps the rows' splits."""
    workers: Positive = 1
    """Number of processes that probe files."""
    backend: Literal["local", "ray"] = "local"
    """Place of these processes: this machine, or a Ray cluster."""
    render: str | None = None
    """Folder to write each clip to as mp4; null renders nothing."""

    def build(self, videos: Sequence[SourceVideo]) -> Iterator[Example | Rejected]:
        """Yield the rows of every video, or why it gives none; by default one ``row`` each."""
        for video in videos:
            yield self.row(video)

    def row(self, video: SourceVideo) -> Example | Rejected:
        """Build the one row of a video, or say why there is none; ``build`` calls it."""
        raise NotImplementedError(f"{self.name} defines neither build nor row")

    @model_validator(mode="after")
    def _in_order(self) -> ProxyTask:
        for low, high in _ORDERED:
            least, most = getattr(self, low, None), getattr(self, high, None)
            if least is not None and most is not None and least > most:
                raise ValueError(f"{low} {least} is more than {high} {most}")
        return self


class TaughtTask(ProxyTask):
    """A proxy task whose rows a teacher can complete and check.

    Its rows are drafts: question and answer may be "" until ``finish``.
    """

    asked: ClassVar[frozenset[str]] = frozenset({"video", "judge", "samples"})
    """Settings beside the teacher's that decide what is asked, for the journal's digest."""

    teacher: TeacherConfig | None = None
    """Model that writes and checks what is missing: teacher.urls=[URL] teacher.model=NAME."""
    video: VideoConfig = VideoConfig(
        fps=2.0, min_frames=4, max_frames=16, min_pixels=16 * 784, max_pixels=128 * 784
    )
    """Sampling of the clips that the teacher sees."""
    judge: JudgeConfig = LexicalJudge()
    """Judge that compares the teacher's answers."""
    samples: Positive = 4
    """Number of replies to each question of a check."""

    def with_events(
        self, videos: Sequence[SourceVideo], find_shots: ShotFinder
    ) -> Iterator[SourceVideo | Rejected]:
        """Yield the videos, with events found in those that lack what the task needs."""
        yield from videos

    @abstractmethod
    async def refine(self, draft: Example, tools: TeacherTools) -> Record | Failure:
        """Ask the teacher what the draft lacks and what its check needs.

        Raises:
            ClipError: a clip cannot be decoded.
        """

    @abstractmethod
    def finish(self, draft: Example, record: Record) -> Example | Rejected:
        """Complete the draft with the teacher's record, or say why it is left out."""

    def asked_settings(self) -> dict[str, Any]:
        """Return the task's settings that decide what is asked."""
        return self.model_dump(mode="json", include=set(self.asked))
