"""Append-only JSON records: one object per line, safe to kill at any moment.

A line is written and flushed in one piece, so a killed writer leaves at most one torn
line, the last. Readers pass over that one; a writer that opens the file again cuts it
off first. Torn lines elsewhere are damage, and an error.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kinograd.types import DataError


class RecordFile:
    """A JSONL file open for appending; whatever a killed writer left torn is cut off."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        _cut_torn_line(path)
        self.path = path
        self._stream = path.open("a", encoding="utf-8")

    def append(self, record: Mapping[str, Any]) -> None:
        """Write one record and hand it to the operating system.

        Raises:
            ValueError: for NaN or infinity, which JSON lacks; see ``finite``.
        """
        self._stream.write(json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n")
        self._stream.flush()

    def close(self) -> None:
        self._stream.close()


def read(path: Path) -> list[dict[str, Any]]:
    """All whole records of a file; none if there is no file.

    Raises:
        DataError: a line before the last is not a JSON object.
    """
    return list(_parsed(path)) if path.exists() else []


def keep(path: Path, wanted: Callable[[dict[str, Any]], bool]) -> int:
    """Rewrite a file with only the wanted records, atomically; returns how many went."""
    records = read(path)
    kept = [record for record in records if wanted(record)]
    if len(kept) < len(records):
        lines = (json.dumps(record, ensure_ascii=False) + "\n" for record in kept)
        write_atomically(path, "".join(lines).encode())
    return len(records) - len(kept)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path to write to beside ``path``: renamed to it if all goes well, else deleted.

    A reader sees the old content or the new, never a part; so do other writers.
    """
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a file so that a reader sees the old content or the new, never a part.

    Safe from a power cut too; only one process may write.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(data)
    sync(temporary)
    temporary.replace(path)
    sync(path.parent)


def sync(path: Path) -> None:
    """Make a file's content, or the renames inside a folder, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


sync_file = sync_folder = sync


def finite(values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Split numbers JSON cannot hold from those it can.

    Returns:
        The values with null for NaN and infinities, and what those were by name.

    >>> finite({"loss": float("inf"), "lr": 0.1})
    ({'loss': None, 'lr': 0.1}, {'loss': 'inf'})
    """
    odd = {k: str(v) for k, v in values.items() if isinstance(v, float) and not math.isfinite(v)}
    return {k: None if k in odd else v for k, v in values.items()}, odd


def _parsed(path: Path) -> Iterator[dict[str, Any]]:
    lines = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines, start=1):
        if number == len(lines):  # what follows the last newline: nothing, or a torn line
            return
        try:
            record = json.loads(line)
        except ValueError as error:
            raise DataError(
                f"{path}, line {number}: not JSON ({error}); the file is damaged"
            ) from None
        if not isinstance(record, dict):
            raise DataError(f"{path}, line {number}: not a JSON object; the file is damaged")
        yield record


def _cut_torn_line(path: Path) -> None:
    if not path.exists():
        return
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        os.truncate(path, whole)
