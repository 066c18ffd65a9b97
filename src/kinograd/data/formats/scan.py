"""JSON values out of files of any size, one at a time: lists, maps and lines.

Values are found by their brackets and quotes alone and parsed one by one by the parser of
canonical files. So a broken value costs itself and not its neighbours, each has its place,
and none is held that is longer than a line may be.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from kinograd.data.jsonl import MAX_LINE_BYTES, TOO_LONG, parse_json
from kinograd.data.rows import Reason, Rejected, Row
from kinograd.types import DataError

_CHUNK = 1 << 20
_BOM = b"\xef\xbb\xbf"
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|["\[\]{},]', re.DOTALL)
_DATABASE = re.compile(rb'\s*+\{\s*+(?:"[^"]*+"\s*+:\s*+[^{}]*?,\s*+)??"database"\s*+:\s*+\{')


def json_rows(path: Path) -> Iterator[Row | Rejected]:
    """The values of a JSON list, ``file[index]``, or of JSON lines, ``file:line``."""
    with path.open("rb") as stream:
        listed = _start(stream).lstrip()[:1] == b"["
    return json_list(path) if listed else json_lines(path)


def json_lines(path: Path) -> Iterator[Row | Rejected]:
    """The values of JSON lines; empty lines are passed over."""
    for where, line in lines(path):
        yield line if isinstance(line, Rejected) else _parsed(where, line)


def lines(path: Path) -> Iterator[tuple[str, bytes | Rejected]]:
    """Lines that hold something, with their places; one that is too long is never held."""
    with path.open("rb") as stream:
        number = 0
        while line := stream.readline(MAX_LINE_BYTES + 1):
            number += 1
            where = f"{path}:{number}"
            if len(line) > MAX_LINE_BYTES:
                while line and not line.endswith(b"\n"):
                    line = stream.readline(_CHUNK)
                yield where, Rejected(where, Reason.JSON, f"the line is {TOO_LONG}")
                continue
            line = line.removeprefix(_BOM) if number == 1 else line
            if line.strip():
                yield where, line


def json_list(path: Path) -> Iterator[Row | Rejected]:
    """The values of one JSON list; what follows a value without an end cannot be read."""
    return _members(path, b"[")


def json_map(path: Path) -> Iterator[Row | Rejected]:
    """The members of one JSON object, or of its member ``database``, each as ``{key: value}``."""
    return _members(path, b"{")


def _members(path: Path, opening: bytes) -> Iterator[Row | Rejected]:
    with path.open("rb") as stream:
        buffer = _start(stream)
        base = stream.tell() - len(buffer)  # where in the file the buffer starts
        inner = _DATABASE.match(buffer) if opening == b"{" else None
        begin = inner.end() if inner else len(buffer) - len(buffer.lstrip()) + 1
        if buffer[begin - 1 : begin] != opening:
            yield Rejected(str(path), Reason.JSON, f"does not start with {opening.decode()}")
            return
        index, close = 0, b"]" if opening == b"[" else b"}"
        while True:
            where = f"{path}[{index}]"
            end = _end(buffer, begin)
            while end is None and len(buffer) - begin <= MAX_LINE_BYTES:
                base, buffer, begin = base + begin, buffer[begin:], 0
                # doubling, so that a long value is scanned a few times, not once per chunk
                more = stream.read(max(_CHUNK, len(buffer)))
                if not more:
                    break
                buffer += more
                end = _end(buffer, begin)
            if end is None:
                yield _lost(where, base + begin, len(buffer) - begin)
                return
            last = buffer[end : end + 1]
            value = buffer[begin:end]
            if last not in (b",", close):
                yield _lost(where, base + end, 0)
                return
            if value.strip() or last == b"," or index:
                if len(value) > MAX_LINE_BYTES:
                    yield Rejected(where, Reason.JSON, f"the value is {TOO_LONG}")
                elif not value.strip():
                    yield Rejected(where, Reason.JSON, f"no value at byte {base + begin}")
                else:
                    value = b"{" + value + b"}" if opening == b"{" else value
                    yield _parsed(where, value, base + begin)
                index += 1
            if last == close:
                return
            begin = end + 1


def _end(buffer: bytes, begin: int) -> int | None:
    """Where the value at ``begin`` ends: at a comma or closing bracket outside of brackets."""
    depth = 0
    for token in _TOKEN.finditer(buffer, begin):
        first = token[0]
        if first in (b"[", b"{"):
            depth += 1
        elif first == b'"':  # a string that the buffer cuts off
            return None
        elif depth == 0 and first in (b",", b"]", b"}"):
            return token.start()
        elif first in (b"]", b"}"):
            depth -= 1
    return None


def _lost(where: str, byte: int, size: int) -> Rejected:
    what = f"is {TOO_LONG}" if size > MAX_LINE_BYTES else "has no end"
    detail = f"the value at byte {byte} {what}; the rest of the file could not be read"
    return Rejected(where, Reason.JSON, detail)


def _parsed(where: str, data: bytes, byte: int | None = None) -> Row | Rejected:
    try:
        return Row(where, parse_json(data))
    except DataError as error:
        at = "" if byte is None else f" (value at byte {byte})"
        return Rejected(where, Reason.JSON, f"{error}{at}")


def _start(stream: BinaryIO) -> bytes:
    return stream.read(_CHUNK).removeprefix(_BOM)
