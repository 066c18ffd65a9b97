"""What all formats share: rows out of files, a row made into an Example, and back.

Foreign files may start with a byte-order mark, end lines with CRLF and hold empty lines:
editors and other systems write them so, and nothing is lost by reading over them. Canonical
files may not. Everything else is strict for both.

Fields of a row that an Example has no place for stay under ``extra.<format>``, so that an
export gives back what was imported.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kinograd.datasets.formats.scan import json_rows
from kinograd.datasets.jsonl import (
    MAX_LINE_BYTES,
    TOO_LONG,
    example_from_json,
    example_to_json,
    parse_json,
)
from kinograd.datasets.rows import Reason, Rejected, Row
from kinograd.datasets.seen_keys import Seen
from kinograd.files import atomic_stream
from kinograd.grading.extract import first_answer
from kinograd.types import Cut, DataError, Example, Media, MediaType

Found = Example | Rejected
Placed = tuple[str, Found]  # with its place: file:line or file[index]
JsonRow = dict[str, Any]

CUTS = (
    "the format holds whole files, in most cases one per row; have cuts written as files too: "
    "kinograd data export IN OUT --format NAME --render FOLDER --media-root ROOT"
)
_ABSENT = object()
_DRIVE_OR_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:")


class BadRow(DataError):
    """A row that cannot be used, with the reason to count it by."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Written:
    """What an export wrote, and the rows that the format has no words for."""

    rows: int
    left_out: tuple[Rejected, ...] = ()


@dataclass(frozen=True, slots=True)
class RowFormat:
    """A format whose rows are JSON objects.

    Attributes:
        load: the Example of a row in a file with this stem; its id "" where rows have none.
        dump: the row of an Example in a file with this stem.
        listed: files are written as one JSON list rather than as lines.
    """

    name: str
    load: Callable[[JsonRow, str], Example]
    dump: Callable[[Example, str], JsonRow]
    listed: bool = False


@dataclass(frozen=True, slots=True)
class Format:
    """A file format.

    Attributes:
        read: rows with their places, in constant memory; formats with a ``layout`` take one.
        write: None for a format that is only read.
        rows: how one row reads, where rows are JSON objects.
        layout: where the media of a row lie, for annotations that do not say.
    """

    name: str
    about: str
    read: Callable[..., Iterator[Placed]]
    write: Callable[[Path, Iterable[Example]], Written] | None
    rows: RowFormat | None = None
    layout: str | None = None


def row_format(form: RowFormat, about: str) -> Format:
    """The file format of a row format: a JSON list, JSON lines or parquet of its rows."""

    def read(path: Path) -> Iterator[Placed]:
        return read_rows(found_rows(path), form, path.stem)

    def write(path: Path, examples: Iterable[Example]) -> Written:
        return write_rows(path, examples, form)

    return Format(form.name, about, read, write, form)


# ------------------------------------------------------------------------ in


def found_rows(path: Path) -> Iterator[Row | Rejected]:
    """The JSON values of a file: a list, lines, or the rows of a parquet file."""
    if path.suffix != ".parquet":
        return json_rows(path)
    from kinograd.datasets.formats.parquet import parquet_rows

    return parquet_rows(path)


def read_rows(found: Iterable[Row | Rejected], form: RowFormat, stem: str) -> Iterator[Placed]:
    """The Examples of rows.

    Args:
        stem: the file's; part of ids that are mere numbers in the file.
    """
    return ((r.where, r if isinstance(r, Rejected) else load(form, r, stem)) for r in found)


def unique(found: Iterable[Placed]) -> Iterator[Placed]:
    """The same, later rows of an id rejected; ids are remembered on disk."""
    seen = Seen()
    for where, row in found:
        first = None if isinstance(row, Rejected) else seen.first(row.id, where)
        if first is not None and isinstance(row, Example):
            detail = f"the id was already used at {first}"
            row = Rejected(where, Reason.DUPLICATE, detail, row.id)
        yield where, row


def hash_of(name: str) -> bytes:
    """64 bits that stand for an id: a set of them is small."""
    return hashlib.blake2b(name.encode(), digest_size=8).digest()


def load(form: RowFormat, row: Row, stem: str) -> Found:
    """One row as an Example that can be written and read back, or why not."""
    return guarded(row.where, lambda: _loaded(form, row.value, stem))


def guarded(where: str, make: Callable[[], Example]) -> Found:
    """What ``make`` gives, proven to survive a canonical file; a DataError is a rejection."""
    try:
        example = make()
        try:
            row = json.dumps(example_to_json(example), ensure_ascii=False, allow_nan=False)
            data = row.encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise DataError(f"holds what a JSON file cannot: {error}") from None
        if len(data) >= MAX_LINE_BYTES:
            raise BadRow(Reason.JSON, f"the row is {TOO_LONG}")
        return example_from_json(parse_json(data))
    except DataError as error:
        reason = error.reason if isinstance(error, BadRow) else Reason.SCHEMA
        return Rejected(where, reason, str(error))


def _loaded(form: RowFormat, value: Any, stem: str) -> Example:
    if not isinstance(value, dict):
        raise BadRow(Reason.SCHEMA, f"a row is a JSON object, not {type(value).__name__}")
    example = form.load(value, stem)
    if not example.id:
        own = value.get("id")
        name = str(own) if isinstance(own, str | int) and str(own).strip() else ""
        example = replace(example, id=name or _content_id(example))
    dumped = form.dump(example, stem)
    rest = {
        key: kept
        for key, kept in value.items()
        if dumped.get(key, _ABSENT) != kept and not (key == "id" and str(kept) == example.id)
    }
    return replace(example, extra={**example.extra, form.name: rest}) if rest else example


def _content_id(example: Example) -> str:
    """An id that does not change when rows around this one come and go."""
    paths = [p for m in example.media for p in m.cut.paths]
    parts = json.dumps([paths, example.question, example.answer])
    return hash_of(parts).hex()


# ----------------------------------------------------------------------- out


def write_rows(path: Path, examples: Iterable[Example], form: RowFormat) -> Written:
    """Write Examples as rows; the file appears whole or not at all."""
    left_out: list[Rejected] = []

    def rows() -> Iterator[JsonRow]:
        for example in examples:
            try:
                yield dump(form, example, path.stem)
            except DataError as error:
                reason = error.reason if isinstance(error, BadRow) else Reason.SCHEMA
                left_out.append(Rejected(example.id, reason, str(error), example.id))

    with atomic_stream(path) as stream:
        count = 0
        for row in rows():
            lead = ("[\n" if count == 0 else ",\n") if form.listed else ""
            end = "" if form.listed else "\n"
            stream.write(lead + json.dumps(row, ensure_ascii=False, allow_nan=False) + end)
            count += 1
        if form.listed:
            stream.write("\n]\n" if count else "[]\n")
    return Written(count, tuple(left_out))


def dump(form: RowFormat, example: Example, stem: str) -> JsonRow:
    """The row of an Example, with the fields that its import kept, unless they have gone stale.

    Raises:
        DataError: the format has no words for it.
    """
    plain = form.dump(example, stem)
    rest = example.extra.get(form.name)
    if isinstance(rest, dict):
        merged = plain | rest
        try:
            again = _loaded(form, merged, stem)
            if form.dump(again, stem) == form.dump(replace(example, id=again.id), stem):
                return merged if again.id == example.id else merged | {"id": example.id}
        except DataError:  # edited by hand
            pass
    same = _loaded(form, plain, stem).id == example.id
    return plain if same else plain | {"id": example.id}


# -------------------------------------------------------------------- fields


def text(row: JsonRow, key: str) -> str:
    """A field that must be text and say something."""
    value = row.get(key)
    if not isinstance(value, str) or not value.strip():
        raise BadRow(Reason.SCHEMA, f"{key!r} must be a non-empty string, not {value!r:.80}")
    return value


def strings(row: JsonRow, key: str) -> tuple[str, ...]:
    """A list of texts; none if the field is missing or null."""
    value = row.get(key)
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
        raise BadRow(Reason.SCHEMA, f"{key!r} must be a list of strings, not {value!r:.80}")
    return tuple(value)


def gold(row: JsonRow, key: str = "solution") -> str:
    """The inside of ``<answer>`` tags."""
    answer = first_answer(text(row, key))
    if not answer:
        raise BadRow(Reason.ANSWER, f"{key!r} holds no <answer>…</answer>: {row[key]!r:.80}")
    return answer


def media_path(value: Any, key: str) -> str:
    """A relative path in its plain form: no ``./``, no doubled slashes."""
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


def whole(kind: str, value: Any, key: str) -> Media:
    """One whole file as a medium."""
    return Media(MediaType(kind), Cut.whole(media_path(value, key)))


def one_file(example: Example) -> tuple[str, str]:
    """(type, path) of the only medium, for formats that hold one whole file per row."""
    if len(example.media) == 1:
        medium = example.media[0]
        path = medium.cut.paths[0]
        if medium.cut == Cut.whole(path):
            return medium.type.value, path
    raise BadRow(Reason.SCHEMA, CUTS)


def with_options(example: Example) -> str:
    """The question with its options, for formats that have no field for them."""
    return "\n".join([example.question, *example.options])
