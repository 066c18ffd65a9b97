"""From rows or raw clips to a proxy task's rows: probe, find events, cut, ask, prove."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import count
from typing import Any

import numpy as np

from kinograd.config.video import VideoConfig
from kinograd.curate.annotate import row_key
from kinograd.curate.events import Event, divided, shots
from kinograd.curate.journal import Journal
from kinograd.curate.proxy import dark_event, jigsaw, mix_vid, needles, removed, reversed
from kinograd.curate.proxy.options import DarkEvent
from kinograd.curate.proxy.source_video import Film, divide, opener
from kinograd.curate.proxy.teacher_tools import Crew, Record
from kinograd.curate.selection import locate
from kinograd.curate.teacher import ask_rows
from kinograd.datasets.jsonl import example_from_json, example_to_json
from kinograd.datasets.rows import Reason, Rejected, RowResult
from kinograd.endpoint.replies import Failure
from kinograd.endpoint.teacher import Teacher
from kinograd.kinds import check_gold
from kinograd.progress import progress
from kinograd.types import DataError, Example
from kinograd.video.faults import ClipError
from kinograd.workers.row_map import map_rows

BUILDERS: dict[str, Callable[..., Iterator[RowResult]]] = {
    "dark-event": dark_event.build,
    "mix-vid": mix_vid.build,
    "jigsaw": jigsaw.build,
    "reversed": reversed.build,
    "removed": removed.build,
    "needles": needles.build,
}


@dataclass(frozen=True)
class Asking:
    """A teacher at work, its crew, and what is kept of it.

    Attributes:
        journal: of its replies.
        shots: of the shots of raw clips, which take a whole decoding to find.
        inferable: hidden events that cannot, or need not, be inferred are left out.
    """

    teacher: Teacher
    crew: Crew
    journal: Journal
    shots: Journal
    inferable: bool = True


@dataclass(frozen=True)
class Plan:
    """What to make of which films; see ``commands.data.proxy`` for the options."""

    task: str
    options: Any
    media_root: str
    seed: int = 0
    test_fraction: float | None = None
    workers: int = 1
    backend: str = "local"


def produce(
    rows: Iterable[RowResult],
    source: str,
    plan: Plan,
    asking: Asking | None = None,
) -> Iterator[RowResult]:
    """The task's rows in the order of their films, and why some films gave none.

    Args:
        source: the name of ``rows`` in rejections.
    """
    opened = list(divide(_opened(rows, source, plan), plan.test_fraction, plan.seed))
    yield from (f for f in opened if isinstance(f, Rejected))
    films = [f for f in opened if isinstance(f, Film)]
    if plan.task == "dark-event" and asking is not None:
        seen = list(_with_shots(films, plan, asking.shots))
        yield from (f for f in seen if isinstance(f, Rejected))
        films = [f for f in seen if isinstance(f, Film)]
    places = {film.id: film.where for film in films}
    drafts: list[tuple[str, RowResult]] = []
    for row in BUILDERS[plan.task](films, plan.options, plan.seed):
        where = row.where if isinstance(row, Rejected) else places[row.extra["of"]]
        drafts.append((where, row))
    finished = drafts if asking is None else _asked(drafts, plan, asking)
    for where, row in finished:
        yield _proven(where, row) if isinstance(row, Example) else row


# ------------------------------------------------------------------------ films


def _opened(rows: Iterable[RowResult], source: str, plan: Plan) -> Iterator[Film | Rejected]:
    make = partial(opener, plan.media_root)
    placed = list(locate(rows, source))
    with progress(len(placed), "probing") as bar:
        for film in map_rows(make, placed, workers=plan.workers, backend=plan.backend):
            bar.advance()
            yield film


def _with_shots(films: Sequence[Film], plan: Plan, kept: Journal) -> Iterator[Film | Rejected]:
    """Films without events get their shots, as events without words."""
    assert isinstance(plan.options, DarkEvent)
    todo = [f for f in films if not f.events and kept.done(_shots_key(f)) is None]
    make = partial(_shot_finder, plan.media_root)
    with progress(len(todo), "finding shots") as bar:
        found = map_rows(make, todo, workers=plan.workers, backend=plan.backend)
        for film, record in zip(todo, found, strict=True):
            kept.append(_shots_key(film), record)
            bar.advance()
    for film in films:
        record = kept.done(_shots_key(film)) if not film.events else None
        if record is None:
            yield film
        elif "fault" in record:
            yield film.refuse(record["fault"], Reason.CLIP)
        else:
            events = [Event(**e) for e in record["events"]]
            yield replace(film, events=divided(events, plan.options.longest))


def _shots_key(film: Film) -> str:
    return " ".join((film.id, *film.sources))


def _shot_finder(media_root: str) -> Callable[[Film], Record]:
    def find(film: Film) -> Record:
        first, *more = film.line.pieces
        if more or first.path is None:
            return {"fault": "is a cut of several pieces, whose seams are no events"}
        try:
            found = shots(first.path, VideoConfig(), media_root)
        except ClipError as error:
            return {"fault": str(error)}
        inside = (
            Event(max(e.start, first.start) - first.start, min(e.end, first.end) - first.start)
            for e in found
        )
        return {"events": [asdict(e) for e in inside if e.end > e.start]}

    return find


# ----------------------------------------------------------------------- asking


def _asked(
    drafts: Sequence[tuple[str, RowResult]], plan: Plan, asking: Asking
) -> Iterator[tuple[str, RowResult]]:
    todo = [(where, row) for where, row in drafts if isinstance(row, Example)]

    async def ask_one(placed: tuple[str, Example]) -> Record | Failure | Rejected:
        where, draft = placed
        try:
            return await _refine(plan, draft, _keeping(asking, row_key(draft)))
        except ClipError as error:
            return Rejected(where, Reason.CLIP, str(error), draft.id)

    failures = ask_rows(
        asking.teacher,
        todo,
        ask_one,
        asking.journal,
        lambda placed: row_key(placed[1]),
        total=len(todo),
        label="asking the teacher",
    )
    for where, draft in drafts:
        if isinstance(draft, Rejected):
            yield where, draft
        elif (failure := failures.get(row_key(draft))) is not None:
            if isinstance(failure, Failure):
                told = f"no reply: {failure.detail}"
                failure = Rejected(where, Reason.TEACHER, told, draft.id)
            yield where, failure
        else:
            record = asking.journal.done(row_key(draft))
            assert record is not None
            task = dark_event if plan.task == "dark-event" else mix_vid
            row = task.finish(draft, record, plan.options)
            yield where, replace(row, where=where) if isinstance(row, Rejected) else row


def _keeping(asking: Asking, key: str) -> Asking:
    """The same, whose replies about one row are journalled one by one: it takes several."""
    numbers = count()

    async def ask(
        prompt: str, frames: Sequence[np.ndarray] = (), *, n: int = 1
    ) -> list[str] | Failure:
        id = f"{key} {next(numbers)}"
        if (record := asking.journal.done(id)) is None:
            replies = await asking.crew.ask(prompt, frames, n=n)
            if isinstance(replies, Failure):
                return replies
            asking.journal.append(id, record := {"replies": replies})
        return record["replies"]

    return replace(asking, crew=replace(asking.crew, ask=ask))


def _refine(plan: Plan, draft: Example, asking: Asking) -> Awaitable[Record | Failure]:
    if plan.task == "dark-event":
        return dark_event.refine(draft, asking.crew, asking.inferable)
    return mix_vid.refine(draft, asking.crew)


def _proven(where: str, row: Example) -> RowResult:
    """The row if it can be read back and its answer passes its own grader."""
    if not (row.question and row.answer):
        told = "no question or answer; with --teacher one is written"
        return Rejected(where, Reason.SCHEMA, told, row.id)
    try:
        example_from_json(example_to_json(row))
    except DataError as error:
        return Rejected(where, Reason.SCHEMA, str(error), row.id)
    if why := check_gold(row.kind, row.answer, row.options):
        return Rejected(where, Reason.ANSWER, why, row.id)
    return row
