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

from kinograd.datasets.jsonl import MAX_LINE_BYTES, TOO_LONG, parse_json
from kinograd.datasets.rows import Reason, Rejected, Row
from kinograd.types import DataError

_CHUNK = 1 << 20
_BOM = b"\xef\xbb\xbf"
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|["\[\]{},]', re.DOTALL)
_STRING = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)  # up to its quote
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
    close = b"]" if opening == b"[" else b"}"
    with path.open("rb") as stream:
        buffer = _start(stream)
        base = stream.tell() - len(buffer)  # where in the file the buffer starts
        inner = _DATABASE.match(buffer) if opening == b"{" else None
        begin = inner.end() if inner else len(buffer) - len(buffer.lstrip()) + 1
        if buffer[begin - 1 : begin] != opening:
            yield Rejected(str(path), Reason.JSON, f"does not start with {opening.decode()}")
            return
        index, scan, start, long = 0, _Scan(begin), base + begin, False
        while True:
            where = f"{path}[{index}]"
            while not scan.ends(buffer):
                held = scan.at if long else begin
                long = long or scan.at - held > MAX_LINE_BYTES
                held = scan.at if long else begin  # of a value too long nothing is held
                base, buffer, begin, scan.at = base + held, buffer[held:], 0, scan.at - held
                more = stream.read(_CHUNK)
                if not more:
                    yield _lost(where, start, "has no end")
                    return
                buffer += more
            end = scan.at
            last, value = buffer[end : end + 1], buffer[begin:end]
            if last not in (b",", close):
                yield _lost(where, start, f"ends with {last.decode()!r} too many")
                return
            if long or len(value) > MAX_LINE_BYTES:
                detail = f"the value at byte {start} is {TOO_LONG}"
                yield Rejected(where, Reason.JSON, detail)
            elif value.strip():
                value = b"{" + value + b"}" if opening == b"{" else value
                yield _parsed(where, value, start)
            elif last == b"," or index:
                yield Rejected(where, Reason.JSON, f"no value at byte {start}")
            index, begin, long = index + 1, end + 1, False
            scan, start = _Scan(begin), base + begin
            if last == close:
                break
        rest = buffer[begin:].strip() or stream.read(_CHUNK).strip()
        if rest and inner is None:
            yield _lost(f"{path}[{index}]", start, f"stands after the closing {close.decode()}")


class _Scan:
    """Looks for the end of a value: a comma or closing bracket outside of brackets."""

    def __init__(self, at: int) -> None:
        self.at = at
        self._depth, self._quoted = 0, False

    def ends(self, buffer: bytes) -> bool:
        """Whether the value ends in the buffer, at ``at``; else ``at`` is how far it was read."""
        if self._quoted:
            self.at = _STRING.match(buffer, self.at).end()  # type: ignore[union-attr]
            if buffer[self.at : self.at + 1] != b'"':
                return False
            self.at, self._quoted = self.at + 1, False
        for token in _TOKEN.finditer(buffer, self.at):
            first = token[0]
            if first in (b"[", b"{"):
                self._depth += 1
            elif first == b'"':  # a string that the buffer cuts off
                self._quoted = True
                self.at = _STRING.match(buffer, token.end()).end()  # type: ignore[union-attr]
                return False
            elif self._depth == 0 and first in (b",", b"]", b"}"):
                self.at = token.start()
                return True
            elif first in (b"]", b"}"):
                self._depth -= 1
        self.at = len(buffer)
        return False


def _lost(where: str, byte: int, what: str) -> Rejected:
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
