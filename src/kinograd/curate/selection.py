"""What a selecting verb leaves: its rows, its quarantine, and a count by reason."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from kinograd.datasets.formats.source import Found, Placed, unique
from kinograd.datasets.jsonl import write_examples
from kinograd.datasets.rows import Reason, Rejected
from kinograd.files import atomic_text
from kinograd.types import Example, UsageError


@dataclass(frozen=True, slots=True)
class Outcome:
    """Rows written, and how many were left out for which reason."""

    kept: int
    left_out: Counter[str]


def quarantine_of(out: Path) -> Path:
    """Where the rows that are not in ``out`` are told: ``a.jsonl``, ``a.quarantine.jsonl``."""
    return out.with_name(f"{out.stem}.quarantine.jsonl")


def apart(out: str | Path, *sources: str | Path) -> None:
    """Refuse to write a file over one that it is made from: rows left out would be lost.

    Raises:
        UsageError: naming the file.
    """
    if any(Path(out).resolve() == Path(source).resolve() for source in sources):
        raise UsageError(f"{out} is read here, and would be written over: name another OUT")


def numbered(rows: Iterable[Found], source: str) -> Iterator[Placed]:
    """Rows with their places, ``source:number``; a repeated id is rejected."""
    return unique(
        (row.where if isinstance(row, Rejected) else f"{source}:{number}", row)
        for number, row in enumerate(rows, start=1)
    )


def write_outcome(
    out: Path,
    rows: Iterable[Found],
    write: Callable[[Path, Iterable[Example]], int] = write_examples,
) -> Outcome:
    """Write the Examples to ``out`` and the rest to its quarantine, each whole or not at all.

    Rows that a teacher or a filter left out are counted by what stands before the colon of
    their detail, the others by their reason.
    """
    left_out: Counter[str] = Counter()
    lines: list[str] = []

    def chosen() -> Iterator[Example]:
        for row in rows:
            if isinstance(row, Rejected):
                told = row.reason in (Reason.TEACHER, Reason.FILTERED)
                left_out[row.detail.partition(":")[0] if told else row.reason.value] += 1
                lines.append(json.dumps(row.to_json(), ensure_ascii=False) + "\n")
            else:
                yield row
        out.parent.mkdir(parents=True, exist_ok=True)
        atomic_text(quarantine_of(out), "".join(lines))

    kept = write(out, chosen())
    return Outcome(kept, left_out)
