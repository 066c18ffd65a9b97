"""Canonical JSONL, row by row: a bad row is rejected and the next one read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from kinograd.data.formats.source import Format, Found, Written, unique
from kinograd.data.jsonl import MAX_LINE_BYTES, example_from_json, parse_line, write_examples
from kinograd.data.rows import Reason, Rejected
from kinograd.types import DataError, Example


def read(path: Path) -> Iterator[Found]:
    return unique(_found(path))


def _found(path: Path) -> Iterator[tuple[str, Found]]:
    with path.open("rb") as stream:
        number = 0
        while line := stream.readline(MAX_LINE_BYTES + 1):
            number += 1
            where = f"{path}:{number}"
            try:
                row = parse_line(line, first=number == 1)
            except DataError as error:
                while line and not line.endswith(b"\n"):
                    line = stream.readline(1 << 20)
                yield where, Rejected(where, Reason.JSON, str(error))
                continue
            try:
                yield where, example_from_json(row)
            except DataError as error:
                name = row.get("id") if isinstance(row, dict) else None
                name = name if isinstance(name, str) else None
                yield where, Rejected(where, Reason.SCHEMA, str(error), name)


def write(path: Path, examples: Iterable[Example]) -> Written:
    return Written(write_examples(path, examples))


FORMAT = Format("kinograd", "canonical JSONL, one Example per line", read, write)
