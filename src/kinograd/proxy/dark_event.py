"""DarkEventInfer: one event of a video is replaced by black; the question is what happened.

After VidBridge-R1 (arXiv 2506.09079), which draws one annotated event of a COIN video and has
people drop what cannot be inferred. Here a teacher can do that: it must find the event better
with the context than with nothing, and worse than when it sees the event.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import ClassVar

from kinograd.curate.events import split_long
from kinograd.datasets.rows import Reason, Rejected
from kinograd.endpoint.replies import Failure
from kinograd.proxy.source_video import SourceVideo, video_medium
from kinograd.proxy.task import Length, Seconds, ShotFinder, TaughtTask
from kinograd.proxy.teacher_tools import Record, TeacherTools, rejected_by_teacher
from kinograd.section import Fraction
from kinograd.types import Black, Example, Kind
from kinograd.video.cut import media_from_json, media_to_json

QUESTION = (
    "Examine a video that includes a black screen segment intended to cover up a specific event. "
    "Infer the event that is probably being hidden by the black screen."
)
"""Published text."""
CAPTION = (
    "These frames show one event of a longer video. Say in one short sentence what happens: who "
    "does what to what. Write the sentence only."
)
_SHORT = "Answer with one short sentence: who does what to what. Write the sentence only."
_BLIND = "You cannot see the video: guess. "


class DarkEvent(TaughtTask):
    """DarkEventInfer; above 0, ``before`` and ``after`` leave out events at an edge."""

    name: ClassVar[str] = "dark_event"
    about: ClassVar[str] = "Replace one event by black: what happened there?"
    asked: ClassVar[frozenset[str]] = TaughtTask.asked | {"inferable"}

    before: Seconds = 1.0
    """Least context before the event."""
    after: Seconds = 1.0
    """Least context after the event."""
    shortest: Length = 1.0
    """Shortest event."""
    longest: Length = 30.0
    """Longest event; longer shots are divided."""
    context: Seconds | None = None
    """Most context to keep on either side; null: the entire video, as published."""
    inferable: bool = True
    """Have the teacher check that the hidden event can, and must, be inferred."""
    margin: Fraction = 0.0
    """Least gain in similarity (0 to 1) of answers from the context over answers from nothing,
    and of answers from the event over answers from the context."""

    def row(self, video: SourceVideo) -> Example | Rejected:
        """Build the row of a video; its answer is "" where the event has no caption yet."""
        if not video.events:
            return video.reject("extra.events holds no event", Reason.SCHEMA)
        fit = [
            e
            for e in video.events
            if self.shortest <= e.end - e.start <= self.longest
            and e.start >= self.before
            and video.duration - e.end >= self.after
        ]
        if not fit:
            return video.reject(
                f"no event of the right length with enough context: {len(video.events)} events in "
                f"{video.duration:.1f} s"
            )
        event = fit[int(video.rng(self.name, self.seed).integers(len(fit)))]
        reach = video.duration if self.context is None else self.context
        first, last = max(0.0, event.start - reach), min(video.duration, event.end + reach)
        dark = Black(round(event.end - event.start, 9))
        return video.row(
            self.name,
            Kind.DARK_EVENT,
            QUESTION,
            event.text,
            (*video.show(first, event.start), dark, *video.show(event.end, last)),
            event=[event.start, event.end],
            hidden=media_to_json(video_medium(video.show(event.start, event.end))),
        )

    def with_events(
        self, videos: Sequence[SourceVideo], find_shots: ShotFinder
    ) -> Iterator[SourceVideo | Rejected]:
        """Yield the videos; those without events get their shots, as events without text."""
        found = find_shots([video for video in videos if not video.events])
        for video in videos:
            if video.events:
                yield video
            elif isinstance(shots := next(found), Rejected):
                yield shots
            else:
                yield replace(video, events=split_long(shots, self.longest))

    async def refine(self, draft: Example, tools: TeacherTools) -> Record | Failure:
        """Ask for the caption where there is none, and if ``inferable`` for the three scores."""
        hidden = await tools.frames_of(media_from_json(draft.extra["hidden"]))
        record: Record = {"answer": draft.answer}
        if not draft.answer:
            captions = await tools.ask(CAPTION, hidden)
            if isinstance(captions, Failure):
                return captions
            record["answer"] = captions[0].strip()
        if not self.inferable or not record["answer"]:
            return record
        question = f"{draft.question} {_SHORT}"
        scores: dict[str, float] = {}
        for shown in ("nothing", "context", "event"):
            if shown == "nothing":
                replies = await tools.ask(_BLIND + question, n=self.samples)
            elif shown == "context":
                context = await tools.frames_of(draft.media[0])
                replies = await tools.ask(question, context, n=self.samples)
            else:
                replies = await tools.ask(CAPTION, hidden, n=self.samples)
            if isinstance(replies, Failure):
                return replies
            score = await tools.similarity(draft.kind, draft.question, record["answer"], replies)
            if isinstance(score, Failure):
                return score
            scores[shown] = score
        return record | {"scores": scores}

    def finish(self, draft: Example, record: Record) -> Example | Rejected:
        """Complete the row with the caption, or reject an event that need not be inferred."""
        if not record["answer"]:
            return rejected_by_teacher(draft, "no caption: the reply is empty")
        row = replace(draft, answer=record["answer"])
        if (scores := record.get("scores")) is None:
            return row
        shown = ", ".join(f"{name} {score:.2f}" for name, score in scores.items())
        if scores["context"] <= scores["nothing"] + self.margin:
            why = f"the context does not help: {shown}"
        elif scores["event"] <= scores["context"] + self.margin:
            why = f"the event need not be inferred: {shown}"
        else:
            return replace(row, extra={**row.extra, "scores": scores})
        return Rejected(draft.id, Reason.FILTERED, why, draft.id)
