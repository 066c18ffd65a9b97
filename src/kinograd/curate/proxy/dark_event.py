"""DarkEventInfer: one event of a video is replaced by black; what happened there?

After VidBridge-R1 (arXiv 2506.09079), which draws one annotated event of a COIN video and has
people drop what cannot be inferred. Here a teacher can do that: it must find the event better
with the context than with nothing, and worse than when it sees the event.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from kinograd.curate.proxy.options import DarkEvent
from kinograd.curate.proxy.source_video import Film, video
from kinograd.curate.proxy.teacher_tools import Crew, Record, badly
from kinograd.datasets.rows import Reason, Rejected
from kinograd.endpoint.replies import Failure
from kinograd.types import Black, Example, Kind
from kinograd.video.cut import media_from_json, media_to_json

QUESTION = (
    "Examine a video that includes a black screen segment intended to cover up a specific event. "
    "Infer the event that is probably being hidden by the black screen."
)
"""As published."""
CAPTION = (
    "These frames show one event of a longer video. Say in one short sentence what happens: who "
    "does what to what. Write the sentence only."
)
_SHORT = "Answer with one short sentence: who does what to what. Write the sentence only."
_BLIND = "You cannot see the video: guess. "


def build(films: Iterable[Film], options: DarkEvent, seed: int = 0) -> Iterator[Example | Rejected]:
    """One row per film; its answer is "" where the event has no caption yet."""
    for film in films:
        yield _row(film, options, seed)


def _row(film: Film, options: DarkEvent, seed: int) -> Example | Rejected:
    if not film.events:
        return film.refuse("extra.events holds no event", Reason.SCHEMA)
    fit = [
        e
        for e in film.events
        if options.shortest <= e.end - e.start <= options.longest
        and e.start >= options.before
        and film.duration - e.end >= options.after
    ]
    if not fit:
        return film.refuse(
            f"no event of the right length with enough context: {len(film.events)} events in "
            f"{film.duration:.1f} s"
        )
    event = fit[int(film.rng("dark_event", seed).integers(len(fit)))]
    reach = film.duration if options.context is None else options.context
    first, last = max(0.0, event.start - reach), min(film.duration, event.end + reach)
    dark = Black(round(event.end - event.start, 9))
    return film.row(
        "dark_event",
        Kind.DARK_EVENT,
        QUESTION,
        event.text,
        (*film.show(first, event.start), dark, *film.show(event.end, last)),
        event=[event.start, event.end],
        hidden=media_to_json(video(film.show(event.start, event.end))),
    )


async def refine(draft: Example, crew: Crew, inferable: bool) -> Record | Failure:
    """The caption, where there is none, and with ``inferable`` the three scores.

    Raises:
        ClipError: what is to be shown cannot be decoded.
    """
    hidden = await crew.see(media_from_json(draft.extra["hidden"]))
    record: Record = {"answer": draft.answer}
    if not draft.answer:
        captions = await crew.ask(CAPTION, hidden)
        if isinstance(captions, Failure):
            return captions
        record["answer"] = captions[0].strip()
    if not inferable or not record["answer"]:
        return record
    question = f"{draft.question} {_SHORT}"
    scores: dict[str, float] = {}
    for name in ("nothing", "context", "event"):
        if name == "nothing":
            asked = crew.ask(_BLIND + question, n=crew.samples)
        elif name == "context":
            asked = crew.ask(question, await crew.see(draft.media[0]), n=crew.samples)
        else:
            asked = crew.ask(CAPTION, hidden, n=crew.samples)
        replies = await asked
        if isinstance(replies, Failure):
            return replies
        score = await crew.likeness(draft.kind, draft.question, record["answer"], replies)
        if isinstance(score, Failure):
            return score
        scores[name] = score
    return record | {"scores": scores}


def finish(draft: Example, record: Record, options: DarkEvent) -> Example | Rejected:
    """The row with what the teacher wrote, or why it is left out."""
    if not record["answer"]:
        return badly(draft, "no caption: the reply is empty")
    row = replace(draft, answer=record["answer"])
    if (scores := record.get("scores")) is None:
        return row
    told = ", ".join(f"{name} {score:.2f}" for name, score in scores.items())
    if scores["context"] <= scores["nothing"] + options.margin:
        why = f"the context does not help: {told}"
    elif scores["event"] <= scores["context"] + options.margin:
        why = f"the event need not be inferred: {told}"
    else:
        return replace(row, extra={**row.extra, "scores": scores})
    return Rejected(draft.id, Reason.FILTERED, why, draft.id)
