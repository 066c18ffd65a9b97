"""Files of a verb that selects rows: the kept rows, and the rejected with reasons."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from kinograd.datasets.jsonl import write_examples
from kinograd.datasets.rows import LocatedRow, Reason, Rejected, RowResult, reject_repeated
from kinograd.files import atomic_stream
from kinograd.types import Example, UsageError


@dataclass(frozen=True, slots=True)
class Selection:
    """Rows written, and how many were left out for which reason."""

    kept: int
    left_out: Counter[str]


def quarantine_path(out: Path) -> Path:
    """Return the file of rejected rows, ``a.quarantine.jsonl`` of ``a.jsonl``."""
    return out.with_name(f"{out.stem}.quarantine.jsonl")


def refuse_overwrite(out: str | Path, *sources: str | Path) -> None:
    """Raise a UsageError if ``out`` is one of the files that it is made from."""
    # rows that are left out would be lost
    if any(Path(out).resolve() == Path(source).resolve() for source in sources):
        raise UsageError(f"{out} is read here, and would be written over: name another OUT")


def locate(rows: Iterable[RowResult], source: str) -> Iterator[LocatedRow]:
    """Yield rows with their places, ``source:number``; a repeated id is rejected."""
    return reject_repeated(
        (row.where if isinstance(row, Rejected) else f"{source}:{number}", row)
        for number, row in enumerate(rows, start=1)
    )


def write_with_quarantine(
    out: Path,
    rows: Iterable[RowResult],
    write: Callable[[Path, Iterable[Example]], int] = write_examples,
) -> Selection:
    """Write the Examples to ``out`` and the rejected rows to its quarantine.

    Both files appear complete or not at all. Rows that a teacher or a filter left out are counted
    by the words before the colon of their detail, the others by their reason.
    """
    left_out: Counter[str] = Counter()
    with atomic_stream(quarantine_path(out)) as quarantine:

        def kept_rows() -> Iterator[Example]:
            for row in rows:
                if isinstance(row, Rejected):
                    by_detail = row.reason in (Reason.TEACHER, Reason.FILTERED)
                    left_out[row.detail.partition(":")[0] if by_detail else row.reason.value] += 1
                    quarantine.write(json.dumps(row.to_json(), ensure_ascii=False) + "\n")
                else:
                    yield row

        kept = write(out, kept_rows())
    return Selection(kept, left_out)
