"""Canonical JSONL: one Example per line.

A row has the keys of ``Example``. ``id``, ``kind``, ``question``, ``answer`` and ``media`` are
required, the others have defaults, unknown ones are errors, ``extra`` is free. Files are UTF-8
without byte-order mark; lines end with a newline alone. An offence is a ``DataError`` that names
file, line and remedy.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from kinograd.datasets.rows import LocatedRow, Reason, Rejected
from kinograd.datasets.seen_keys import SeenKeys
from kinograd.datasets.strict_json import MAX_BYTES, TOO_LONG, parse_json
from kinograd.files import atomic_stream
from kinograd.types import DataError, Example, Kind
from kinograd.video.cut import media_from_json, media_to_json

_REQUIRED = ("id", "kind", "question", "answer", "media")
_KEYS = [field.name for field in fields(Example)]
_PLACEHOLDER = re.compile(r"<(video|image)>")


def read_examples(paths: str | Path | Iterable[str | Path]) -> list[Example]:
    """Return the Examples of one or more files, in order; ids are unique over all of them.

    Raises:
        DataError: for the first row that breaks the contract, or an empty or missing file.
    """
    seen: dict[str, str] = {}
    examples: list[Example] = []
    for path in [paths] if isinstance(paths, str | Path) else paths:
        before = len(examples)
        for here, example in _strict(Path(path)):
            if example.id in seen:
                raise DataError(f"{here}: id {example.id!r} was already used at {seen[example.id]}")
            seen[example.id] = here
            examples.append(example)
        if len(examples) == before:
            raise DataError(f"{path}: holds no rows")
    return examples


def iter_examples(path: str | Path) -> Iterator[Example]:
    """Yield the Examples of one file; ids are not compared.

    Raises:
        DataError: at the first row that breaks the contract.
    """
    return (example for _, example in _strict(Path(path)))


def read_lines(path: Path) -> Iterator[LocatedRow]:
    """Yield every line with its place, as an Example or Rejected; too long ones are never held."""
    with path.open("rb") as stream:
        number = 0
        while line := stream.readline(MAX_BYTES + 1):
            number += 1
            where = f"{path}:{number}"
            row, reason = None, Reason.JSON
            try:
                row, reason = parse_line(line, first=number == 1), Reason.SCHEMA
                yield where, example_from_json(row)
            except DataError as error:
                while line and not line.endswith(b"\n"):
                    line = stream.readline(1 << 20)
                name = row.get("id") if isinstance(row, dict) else None
                name = name if isinstance(name, str) else None
                yield where, Rejected(where, reason, str(error), name)


def write_examples(path: str | Path, examples: Iterable[Example]) -> int:
    """Write Examples to a file that appears complete or not at all; return their number.

    Raises:
        DataError: a repeated id, or a value that JSON cannot hold.
    """
    path, count = Path(path), 0
    with atomic_stream(path) as stream:
        for count, example in enumerate(with_unique_ids(path, examples), start=1):  # noqa: B007
            try:
                row = json.dumps(example_to_json(example), ensure_ascii=False, allow_nan=False)
            except (TypeError, ValueError) as error:
                raise DataError(f"{path}: example {example.id!r}: {error}") from None
            stream.write(row + "\n")
    return count


def with_unique_ids(path: Path, examples: Iterable[Example]) -> Iterator[Example]:
    """Yield the Examples to be written to ``path``.

    Raises:
        DataError: a repeated id.
    """
    ids = SeenKeys()
    for example in examples:
        if ids.setdefault(example.id, "here"):
            raise DataError(f"{path}: two rows have the id {example.id!r}")
        yield example


def example_to_json(example: Example) -> dict[str, Any]:
    """Return the row of an Example, every key present."""
    return {
        "id": example.id,
        "kind": example.kind.value,
        "question": example.question,
        "options": list(example.options),
        "answer": example.answer,
        "media": [media_to_json(m) for m in example.media],
        "rationale": example.rationale,
        "source": example.source,
        "split": example.split,
        "extra": dict(example.extra),
    }


def example_from_json(row: Any) -> Example:
    """Return the Example of a parsed row.

    Raises:
        DataError: the row breaks the contract; file and line are not named.
    """
    if not isinstance(row, dict):
        raise DataError(f"a row is a JSON object, not {type(row).__name__}")
    for key in row:
        if key not in _KEYS:
            near = get_close_matches(key, _KEYS, 1)
            hint = f"did you mean {near[0]!r}?" if near else "put it under 'extra'"
            raise DataError(f"unknown key {key!r}; {hint}")
    missing = [k for k in _REQUIRED if k not in row]
    if missing:
        raise DataError(f"missing {', '.join(map(repr, missing))}")
    for key in ("id", "question", "answer"):
        if not isinstance(row[key], str) or not row[key].strip():
            raise DataError(f"{key!r} must be a non-empty string")
    for key in ("source", "split"):
        if not isinstance(row.get(key, ""), str):
            raise DataError(f"{key!r} must be a string")
    if not isinstance(row.get("rationale"), str | None):
        raise DataError("'rationale' must be a string or null")
    if not isinstance(row.get("extra", {}), dict):
        raise DataError("'extra' must be an object")
    options = row.get("options", [])
    if not isinstance(options, list) or not all(isinstance(o, str) for o in options):
        raise DataError("'options' must be a list of strings")
    if (wrong := next(filter(_PLACEHOLDER.search, options), None)) is not None:
        # the prompt would take it for the place of a clip
        raise DataError(f"the option {wrong!r:.60} holds a placeholder of a medium; reword it")
    if not isinstance(row["media"], list):
        raise DataError("'media' must be a list (empty for a question about text alone)")
    if row["kind"] not in list(Kind):
        raise DataError(f"unknown kind {row['kind']!r}; one of {', '.join(Kind)}")
    example = Example(
        id=row["id"],
        kind=Kind(row["kind"]),
        question=row["question"],
        answer=row["answer"],
        media=tuple(media_from_json(m) for m in row["media"]),
        options=tuple(options),
        rationale=row.get("rationale"),
        source=row.get("source", ""),
        split=row.get("split", "train"),
        extra=row.get("extra", {}),
    )
    named = _PLACEHOLDER.findall(example.question)
    present = [m.type.value for m in example.media]
    if named and named != present:
        raise DataError(
            f"the question names {' '.join(f'<{n}>' for n in named)} but the media are "
            f"{', '.join(present)}; name each once, in order, or none"
        )
    return example


def _strict(path: Path) -> Iterator[tuple[str, Example]]:
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    for where, row in read_lines(path):
        if isinstance(row, Rejected):
            raise DataError(f"{where}: {row.detail}")
        yield where, row


def parse_line(line: bytes, first: bool) -> Any:
    """Return the JSON value of one line of a canonical file.

    Raises:
        DataError: the line breaks the rules of canonical files; file and line are not named.
    """
    if len(line) > MAX_BYTES:
        raise DataError(TOO_LONG)
    if first and line.startswith(b"\xef\xbb\xbf"):
        raise DataError("starts with a byte-order mark; save the file as UTF-8 without one")
    if line.endswith(b"\r\n"):
        raise DataError("ends with CRLF; convert the file's line ends to LF")
    if not line.strip():
        raise DataError("the line is empty")
    return parse_json(line)
