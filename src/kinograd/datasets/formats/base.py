"""File formats, and the fields that several of them share."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from kinograd.datasets.jsonl import example_from_json, example_to_json
from kinograd.datasets.raw_rows import raw_rows
from kinograd.datasets.rows import BadRow, LocatedRow, RawRow, Reason, Rejected, RowResult
from kinograd.datasets.strict_json import MAX_BYTES, TOO_LONG, parse_json
from kinograd.files import digest
from kinograd.grading.extract import gold_answer
from kinograd.types import Cut, DataError, Example, Media, MediaType

JsonRow = dict[str, Any]

_DRIVE_OR_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:")


@dataclass(frozen=True, slots=True)
class Written:
    """Number of rows that an export wrote, and the rows that the format cannot hold."""

    rows: int
    left_out: tuple[Rejected, ...] = ()


@dataclass(frozen=True, slots=True)
class RowFormat:
    """A format whose rows are JSON objects, in a JSON list, JSON lines or parquet.

    Attributes:
        load: makes the Example of a row in a file with this stem; its id is "" where the format
            has none.
        columns: the fields that ``load`` reads; others are kept under ``extra.<name>``.
        signature: fields that together occur in no other format.
    """

    name: str
    load: Callable[[JsonRow, str], Example]
    columns: set[str]
    signature: set[str]

    def example(self, row: RawRow, stem: str) -> RowResult:
        """Return the Example of a row, which a canonical file can hold, or why there is none."""
        return checked(row.where, partial(self._load, row.value, stem))

    def _load(self, value: Any, stem: str) -> Example:
        if not isinstance(value, dict):
            raise BadRow(Reason.SCHEMA, f"a row is a JSON object, not {type(value).__name__}")
        example = self.load(value, stem)
        rest = {key: kept for key, kept in value.items() if key not in self.columns}
        if not example.id:
            own = value.get("id")
            given = str(own) if isinstance(own, str | int) and str(own).strip() else ""
            if given:
                del rest["id"]
            example = replace(example, id=given or _content_id(example))
        if not rest:
            return example
        kept = {**example.extra.get(self.name, {}), **rest}
        return replace(example, extra={**example.extra, self.name: kept})


@dataclass(frozen=True, slots=True)
class Format:
    """A file format.

    Attributes:
        about: one line for people.
        read: yields rows with their places, in constant memory; takes ``layout=`` where
            the format has a layout.
        fits: returns whether a file is of this format, by its path and the fields of its first
            row; only ``auto`` asks.
        write: None for a format that is only read.
        rows: how one row is read, where rows are JSON objects.
        layout: path of a row's media, for annotations that do not name it.
    """

    name: str
    about: str
    read: Callable[..., Iterator[LocatedRow]]
    fits: Callable[[Path, set[str]], bool]
    write: Callable[[Path, Iterable[Example]], Written] | None = None
    rows: RowFormat | None = None
    layout: str | None = None


def format_of_rows(
    rows: RowFormat, about: str, write: Callable[[Path, Iterable[Example]], Written] | None = None
) -> Format:
    """Return the file format whose rows are those of ``rows``."""

    def read(path: Path) -> Iterator[LocatedRow]:
        return located_examples(raw_rows(path), rows, path.stem)

    def fits(path: Path, fields: set[str]) -> bool:
        return rows.signature <= fields

    return Format(rows.name, about, read, fits, write, rows)


def located_examples(
    found: Iterable[RawRow | Rejected], rows: RowFormat, stem: str
) -> Iterator[LocatedRow]:
    """Yield the Examples of raw rows with their places.

    Args:
        stem: of the file; part of ids that are mere numbers in the file.
    """
    for row in found:
        yield row.where, row if isinstance(row, Rejected) else rows.example(row, stem)


def checked(where: str, make: Callable[[], Example]) -> RowResult:
    """Return what ``make`` gives if a canonical file can hold it; else, why it is rejected."""
    try:
        example = make()
        try:
            row = json.dumps(example_to_json(example), ensure_ascii=False, allow_nan=False)
            data = row.encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise DataError(f"holds what a JSON file cannot: {error}") from None
        if len(data) >= MAX_BYTES:
            raise BadRow(Reason.JSON, f"the row is {TOO_LONG}")
        return example_from_json(parse_json(data))
    except DataError as error:
        reason = error.reason if isinstance(error, BadRow) else Reason.SCHEMA
        return Rejected(where, reason, str(error))


def _content_id(example: Example) -> str:
    """Return an id that does not change when rows around this one come and go."""
    paths = [p for m in example.media for p in m.cut.paths]
    return digest(json.dumps([paths, example.question, example.answer]), 8)


def text(row: JsonRow, key: str) -> str:
    """Return a field that must be text and not blank."""
    value = row.get(key)
    if not isinstance(value, str) or not value.strip():
        raise BadRow(Reason.SCHEMA, f"{key!r} must be a non-empty string, not {value!r:.80}")
    return value


def strings(row: JsonRow, key: str) -> tuple[str, ...]:
    """Return a list of texts; an empty one if the field is missing or null."""
    value = row.get(key)
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
        raise BadRow(Reason.SCHEMA, f"{key!r} must be a list of strings, not {value!r:.80}")
    return tuple(value)


def gold(row: JsonRow, key: str = "solution") -> str:
    """Return the answer of a solution in ``<answer>`` tags, as the graders read it."""
    try:
        answer = gold_answer(text(row, key))
    except ValueError as error:
        raise BadRow(Reason.ANSWER, f"{key!r} gives {error}") from None
    if answer is None:
        raise BadRow(Reason.ANSWER, f"{key!r} holds no <answer>…</answer>: {row[key]!r:.80}")
    return answer


def media_path(value: Any, key: str) -> str:
    """Return a relative path in its plain form: no ``./``, no doubled slashes."""
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise BadRow(Reason.SCHEMA, f"{key!r} must be a path, not {value!r:.80}")
    if "\\" in value or value.startswith("/") or _DRIVE_OR_URL.match(value):
        raise BadRow(
            Reason.PATH, f"{key!r} is no path relative to data.media_root with '/': {value!r:.200}"
        )
    parts = [p for p in value.split("/") if p not in ("", ".")]
    if ".." in parts or not parts:
        raise BadRow(Reason.PATH, f"{key!r} leaves data.media_root: {value!r:.200}")
    return "/".join(parts)


def whole_file(kind: str, value: Any, key: str) -> Media:
    """Return the medium that is one whole file."""
    return Media(MediaType(kind), Cut.whole(media_path(value, key)))


def fill_layout(layout: str, fields: JsonRow) -> str:
    """Return the path that a layout such as ``{subset}/{id}.mp4`` gives for a row."""
    try:
        return layout.format_map(fields)
    except (KeyError, ValueError, IndexError, AttributeError, TypeError) as error:
        raise BadRow(Reason.PATH, f"layout {layout!r} does not fit the row: {error!r}") from None
