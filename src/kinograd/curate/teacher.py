"""Many questions to a teacher, with a journal: what was answered is never asked again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, TypeVar

from kinograd.config.teacher import TeacherConfig
from kinograd.curate.journal import Journal
from kinograd.datasets.jsonl import example_to_json
from kinograd.datasets.rows import Rejected
from kinograd.endpoint.replies import Failure
from kinograd.endpoint.teacher import Teacher
from kinograd.files import digest_json
from kinograd.progress import Progress, progress
from kinograd.types import Example, KinogradError

T = TypeVar("T")

_REFUSED = frozenset({401, 403, 404})  # a wrong key or model: every other row ends the same


def row_key(example: Example) -> str:
    """Return the id and a digest of a row: a row that changed is asked about again."""
    return f"{example.id} {digest_json(example_to_json(example), 8)}"


def ask_rows(
    teacher: Teacher,
    items: Iterable[T],
    ask_one: Callable[[T], Awaitable[Mapping[str, Any] | Failure | Rejected]],
    journal: Journal,
    id_of: Callable[[T], str],
    *,
    total: int,
    done: int = 0,
    label: str = "asking the teacher",
) -> dict[str, Failure | Rejected]:
    """Ask about every item whose id the journal lacks, many at once, and journal each record.

    Neither failures of the teacher nor rows that could not be asked about (Rejected) are
    journalled: the next run of the same command tries those rows again.

    Args:
        items: read lazily; as many are held as may be in progress.
        total, done: how many items there are, and how many of them the journal has.
        ask_one: makes an item's record. It runs while the teacher is entered, up to
            ``4 x max_concurrency`` at once, so that rows that wait leave no server idle.

    Returns:
        Failures and rejected rows by id.

    Raises:
        KinogradError: the teacher is down or rejects the key; its answers so far are journalled.
    """
    failures: dict[str, Failure | Rejected] = {}
    in_a_row = 0
    began, answered = time.monotonic(), 0

    async def one(item: T, bar: Progress, places: asyncio.Semaphore) -> None:
        nonlocal in_a_row, answered
        id = id_of(item)
        try:
            record = await ask_one(item)
        finally:
            places.release()
        if isinstance(record, Rejected):
            failures[id] = record
        elif isinstance(record, Failure):
            failures[id] = record
            in_a_row += 1
            if in_a_row >= teacher.config.give_up_after or record.status in _REFUSED:
                raise KinogradError(_down(teacher.config, record, journal))
        else:
            journal.append(id, record)
            in_a_row = 0
        answered += 1
        bar.advance(1, **_figures(teacher, answered / (time.monotonic() - began)))

    async def run() -> None:
        places = asyncio.Semaphore(4 * teacher.config.max_concurrency)
        with progress(total, label, done=done) as bar:
            async with teacher, asyncio.TaskGroup() as group:
                for item in items:
                    if journal.done(id_of(item)) is None:
                        await places.acquire()
                        group.create_task(one(item, bar, places))

    try:
        asyncio.run(run())
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None
    return failures


def _figures(teacher: Teacher, rows_per_s: float) -> dict[str, float | str]:
    used = teacher.usage
    shown: dict[str, float | str] = {
        "rows/s": rows_per_s,
        "tokens in": str(used.prompt_tokens),
        "out": str(used.completion_tokens),
    }
    return shown | ({"cost": teacher.cost} if teacher.cost else {})


def _down(config: TeacherConfig, failure: Failure, journal: Journal) -> str:
    return (
        f"the teacher does not answer: {failure.detail}. {len(journal)} answers are kept in "
        f"{journal.path}; run the same command again to resume. Is the server up, does it serve "
        f"model {config.model!r}, and does ${config.api_key_env} hold its key?"
    )
