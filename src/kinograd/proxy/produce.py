"""From data files or raw clips to a proxy task's rows: probe, find events, cut, ask, check."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path

from kinograd.config.video import VideoConfig
from kinograd.curate.events import Event, shots
from kinograd.curate.journal import Journal, digest_of
from kinograd.curate.selection import Selection, locate, write_with_quarantine
from kinograd.curate.teacher import ask_rows, row_key
from kinograd.datasets.jsonl import example_from_json, example_to_json, write_examples
from kinograd.datasets.load import located_rows
from kinograd.datasets.rows import LocatedRow, Reason, Rejected, RowResult, reject_repeated
from kinograd.endpoint.replies import Failure
from kinograd.endpoint.teacher import ASKED, Teacher
from kinograd.judge import build_judges
from kinograd.kinds import check_gold
from kinograd.progress import progress
from kinograd.proxy.source_video import SourceVideo, assign_splits, make_prober, raw_clips
from kinograd.proxy.task import ProxyTask, TaughtTask
from kinograd.proxy.teacher_tools import Record, TeacherTools
from kinograd.types import DataError, Example, UsageError
from kinograd.video.clip_store import ClipStore
from kinograd.video.faults import ClipError
from kinograd.workers.row_map import map_rows


@dataclass(frozen=True)
class TeacherRun:
    """A teacher's work on one output.

    Attributes:
        replies: journal of its replies.
        shots: journal of the shots of raw clips, which take a complete decoding to find.
    """

    task: TaughtTask
    teacher: Teacher
    tools: TeacherTools
    replies: Journal
    shots: Journal


@dataclass(frozen=True)
class Product:
    """Files and rows of one command.

    Attributes:
        outcome: of ``out`` (split train) and its quarantine.
        files: file to its number of rows, for the other splits.
        rows: of all splits.
        teacher: with its usage; None if none was asked.
    """

    outcome: Selection
    files: Mapping[Path, int]
    rows: Sequence[Example]
    media_root: Path
    teacher: Teacher | None = None


def produce(task: ProxyTask, inputs: Sequence[Path], out: Path) -> Product:
    """Build the rows of ``task`` from data files or folders of raw clips and write them.

    Rows of split train go to ``out``, others to ``out.SPLIT.jsonl``; the quarantine holds the
    videos that gave no row. Replies of a teacher are journalled in ``out.journal``.

    Raises:
        UsageError: raw clips need events or questions, and there is no teacher.
        KinogradError: the teacher is down.
    """
    raw = [_is_raw(path) for path in inputs]
    default = inputs[0] if raw == [True] else Path(".")
    root = Path(task.media_root) if task.media_root is not None else default
    task = task.model_copy(update={"media_root": str(root)})
    if any(raw) and isinstance(task, TaughtTask) and task.teacher is None:
        raise UsageError(
            f"raw clips have no events or questions for {task.name}: set teacher.urls=[URL] "
            "teacher.model=NAME, or give a data file that holds them"
        )
    found = chain.from_iterable(
        locate(raw_clips(path, root), str(path))
        if is_raw
        else located_rows(path, task.format, task.layout)
        for path, is_raw in zip(inputs, raw, strict=True)
    )
    with _teacher_run(task, out) as run:
        rows = list(build_rows(reject_repeated(found), task, run))
    by_split: dict[str, list[Example]] = {"train": []}
    for row in rows:
        if isinstance(row, Example):
            by_split.setdefault(row.split, []).append(row)
    rejected = [row for row in rows if isinstance(row, Rejected)]
    outcome = write_with_quarantine(out, [*by_split["train"], *rejected])
    files = {
        (file := out.with_name(f"{out.stem}.{split}.jsonl")): write_examples(file, some)
        for split, some in by_split.items()
        if split != "train"
    }
    kept = [row for some in by_split.values() for row in some]
    return Product(outcome, files, kept, root, run.teacher if run else None)


def build_rows(
    located: Iterable[LocatedRow], task: ProxyTask, run: TeacherRun | None = None
) -> Iterator[RowResult]:
    """Yield the task's rows in the order of their videos, and why some videos gave none.

    Args:
        located: rows with their places, ids unique.
    """
    probed = list(assign_splits(_probed(located, task), task.test_fraction, task.seed))
    if run is not None:
        yield from (v for v in probed if isinstance(v, Rejected))
        videos = [v for v in probed if isinstance(v, SourceVideo)]
        probed = list(run.task.with_events(videos, partial(_find_shots, task, run.shots)))
    yield from (v for v in probed if isinstance(v, Rejected))
    videos = [v for v in probed if isinstance(v, SourceVideo)]
    places = {video.id: video.where for video in videos}
    drafts: list[LocatedRow] = []
    for row in task.build(videos):
        where = row.where if isinstance(row, Rejected) else places[row.extra["of"]]
        drafts.append((where, row))
    finished = drafts if run is None else _finished(drafts, run)
    for where, row in finished:
        yield _validated(where, row) if isinstance(row, Example) else row


def _is_raw(path: Path) -> bool:
    """Check for a folder of clips, as opposed to one of shards."""
    return path.is_dir() and not (path / "manifest.json").exists()


# ----------------------------------------------------------------------- videos


def _probed(rows: Iterable[LocatedRow], task: ProxyTask) -> Iterator[SourceVideo | Rejected]:
    make = partial(make_prober, task.media_root or ".")
    located = list(rows)
    with progress(len(located), "probing") as bar:
        for video in map_rows(make, located, workers=task.workers, backend=task.backend):
            bar.advance()
            yield video


def _find_shots(
    task: ProxyTask, kept: Journal, videos: Sequence[SourceVideo]
) -> Iterator[tuple[Event, ...] | Rejected]:
    """Yield the shots of each video, from the journal where it holds them."""
    todo = [video for video in videos if kept.done(_shots_key(video)) is None]
    make = partial(_shot_finder, task.media_root or ".")
    with progress(len(todo), "finding shots") as bar:
        found = map_rows(make, todo, workers=task.workers, backend=task.backend)
        for video, record in zip(todo, found, strict=True):
            kept.append(_shots_key(video), record)
            bar.advance()
    for video in videos:
        record = kept.done(_shots_key(video))
        assert record is not None
        if "fault" in record:
            yield video.reject(record["fault"], Reason.CLIP)
        else:
            yield tuple(Event(**event) for event in record["events"])


def _shots_key(video: SourceVideo) -> str:
    return " ".join((video.id, *video.sources))


def _shot_finder(media_root: str) -> Callable[[SourceVideo], Record]:
    def find(video: SourceVideo) -> Record:
        first, *more = video.line.pieces
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


# ---------------------------------------------------------------------- teacher


@contextmanager
def _teacher_run(task: ProxyTask, out: Path) -> Iterator[TeacherRun | None]:
    """Open what asking a teacher needs; None if the task has none."""
    if not isinstance(task, TaughtTask) or task.teacher is None:
        yield None
        return
    asked = task.teacher.model_dump(mode="json", include=ASKED)
    options = {"task": task.name, "asked": task.asked_settings(), "teacher": asked}
    with ExitStack() as stack:
        factor = task.video.spec().size_factor
        store = stack.enter_context(ClipStore(task.video, task.media_root or ".", factor))
        replies, kept = (
            stack.enter_context(Journal(out.with_name(f"{out.name}.{name}"), digest))
            for name, digest in (
                ("journal", digest_of([], options)),
                ("shots.journal", digest_of([], {})),
            )
        )
        teacher = Teacher(task.teacher)
        judge = build_judges({"judge": task.judge})["judge"]
        yield TeacherRun(task, teacher, TeacherTools(teacher.ask, store.get, judge), replies, kept)


def _finished(drafts: Sequence[LocatedRow], run: TeacherRun) -> Iterator[LocatedRow]:
    todo = [(where, row) for where, row in drafts if isinstance(row, Example)]

    async def ask_one(located: tuple[str, Example]) -> Record | Failure | Rejected:
        where, draft = located
        try:
            tools = run.tools.with_journal(run.replies, row_key(draft))
            return await run.task.refine(draft, tools)
        except ClipError as error:
            return Rejected(where, Reason.CLIP, str(error), draft.id)

    failures = ask_rows(
        run.teacher,
        todo,
        ask_one,
        run.replies,
        lambda located: row_key(located[1]),
        total=len(todo),
    )
    for where, draft in drafts:
        if isinstance(draft, Rejected):
            yield where, draft
        elif (failure := failures.get(row_key(draft))) is not None:
            if isinstance(failure, Failure):
                why = f"no reply: {failure.detail}"
                failure = Rejected(where, Reason.TEACHER, why, draft.id)
            yield where, failure
        else:
            record = run.replies.done(row_key(draft))
            assert record is not None
            row = run.task.finish(draft, record)
            yield where, replace(row, where=where) if isinstance(row, Rejected) else row


def _validated(where: str, row: Example) -> RowResult:
    """Return the row if it can be read back and its answer passes its own grader."""
    if not (row.question and row.answer):
        why = "no question or answer; a teacher (teacher.urls, teacher.model) writes them"
        return Rejected(where, Reason.SCHEMA, why, row.id)
    try:
        example_from_json(example_to_json(row))
    except DataError as error:
        return Rejected(where, Reason.SCHEMA, str(error), row.id)
    if why := check_gold(row.kind, row.answer, row.options):
        return Rejected(where, Reason.ANSWER, why, row.id)
    return row
