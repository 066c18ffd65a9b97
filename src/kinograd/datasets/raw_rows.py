"""Rows of JSON lists, JSON lines and parquet files of any size, one at a time, with their places.

A bad value costs its own row. Foreign files may start with a byte-order mark, end lines with
CRLF and hold empty lines; canonical files may not (``jsonl``).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from kinograd.datasets.rows import RawRow, Reason, Rejected
from kinograd.datasets.strict_json import MAX_BYTES, TOO_LONG, Decoder, parse_json, skip_space
from kinograd.types import DataError

_CHUNK = 1 << 20
_MOST_HELD = 4 * MAX_BYTES
_BOM = b"\xef\xbb\xbf"
_PARQUET_ROWS = 1024  # read at once


def raw_rows(path: Path) -> Iterator[RawRow | Rejected]:
    """Yield the values of a JSON list, of JSON lines, or the rows of a parquet file."""
    if path.suffix == ".parquet":
        return parquet_rows(path)
    return list_rows(path) if is_list(path) else line_rows(path)


def is_list(path: Path) -> bool:
    """Return whether a file starts like a JSON list."""
    with path.open("rb") as stream:
        return stream.read(_CHUNK).lstrip(_BOM + b" \t\r\n").startswith(b"[")


def lines(path: Path) -> Iterator[tuple[str, bytes | Rejected]]:
    """Yield (``file:line``, line) of the lines that are not empty; too long ones are never held."""
    with path.open("rb") as stream:
        number = 0
        while line := stream.readline(MAX_BYTES + 1):
            number += 1
            where = f"{path}:{number}"
            if len(line) > MAX_BYTES:
                while line and not line.endswith(b"\n"):
                    line = stream.readline(_CHUNK)
                yield where, Rejected(where, Reason.JSON, f"the line is {TOO_LONG}")
                continue
            line = line.removeprefix(_BOM) if number == 1 else line
            if line.strip():
                yield where, line


def line_rows(path: Path) -> Iterator[RawRow | Rejected]:
    """Yield the values of JSON lines."""
    for where, line in lines(path):
        if isinstance(line, Rejected):
            yield line
            continue
        try:
            yield RawRow(where, parse_json(line))
        except DataError as error:
            yield Rejected(where, Reason.JSON, str(error))


def list_rows(path: Path) -> Iterator[RawRow | Rejected]:
    """Yield the values of one JSON list, ``file[index]``; a syntax error ends the reading."""
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as stream:
        decoder, buffer, index = Decoder(), stream.read(_CHUNK), 0
        base, start = 0, skip_space(buffer, 0) + 1  # characters before the buffer; the bracket
        while True:
            where = f"{path}[{index}]"
            start = skip_space(buffer, start)
            try:
                value, end, fault = decoder.decode(buffer, start)
                end = skip_space(buffer, end)
                follows = buffer[end]  # a number may continue in the next chunk
            except (json.JSONDecodeError, RecursionError, IndexError) as error:
                if index == 0 and buffer[start : start + 1] == "]":
                    end = start
                    break
                base, buffer, start = base + start, buffer[start:], 0
                more = stream.read(max(_CHUNK, len(buffer))) if len(buffer) < _MOST_HELD else ""
                if not more or isinstance(error, RecursionError):
                    yield _lost(where, base, _what(error))
                    return
                buffer += more
                continue
            if follows not in ",]":
                yield _lost(where, base + start, f"is followed by {follows!r}")
                return
            if end - start > MAX_BYTES:
                fault = f"the value at character {base + start} is {TOO_LONG}"
            yield Rejected(where, Reason.JSON, fault) if fault else RawRow(where, value)
            index, start = index + 1, end + 1
            if follows == "]":
                break
        if (buffer[end + 1 :] + stream.read(_CHUNK)).strip():
            yield _lost(f"{path}[{index}]", base + end + 1, "comes after the end of the list")


def _what(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "is nested too deep"
    return f"is not JSON ({error.msg})" if isinstance(error, json.JSONDecodeError) else "has no end"


def _lost(where: str, character: int, what: str) -> Rejected:
    detail = f"the value at character {character} {what}; the rest of the file could not be read"
    return Rejected(where, Reason.JSON, detail)


def member_rows(path: Path) -> Iterator[RawRow | Rejected]:
    """Yield the members of a JSON object, or of its member ``database``, as ``{key: value}``.

    The file is held in memory: annotations of a whole data set take tens of megabytes.
    """
    try:
        value = parse_json(path.read_bytes().removeprefix(_BOM))
        if not isinstance(value, dict):
            raise DataError(f"holds no JSON object but a {type(value).__name__}")
    except DataError as error:
        yield Rejected(str(path), Reason.JSON, str(error))
        return
    inner = value.get("database")
    members = inner if isinstance(inner, dict) else value
    for index, (key, member) in enumerate(members.items()):
        yield RawRow(f"{path}[{index}]", {key: member})


def parquet_rows(path: Path) -> Iterator[RawRow | Rejected]:
    """Yield the rows of a parquet file as objects, ``file[index]``."""
    import pyarrow
    import pyarrow.parquet as pq

    index = 0
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=_PARQUET_ROWS):
                for value in batch.to_pylist():
                    yield RawRow(f"{path}[{index}]", value)
                    index += 1
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        detail = f"not readable parquet: {error}; the rest of the file could not be read"
        yield Rejected(f"{path}[{index}]", Reason.JSON, detail)
