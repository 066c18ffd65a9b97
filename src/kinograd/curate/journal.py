"""Results kept while a verb works, so that a killed one goes on where it stopped.

A journal is a scratch file beside the outputs: a header with the digest of everything that
decides the results, then one record per id, appended as results come. The verb writes its
final files from it, in the order of its input and atomically, so that an interrupted run and
an uninterrupted one end with the same bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from kinograd.datasets.rows import Rejected
from kinograd.datasets.seen_keys import SeenKeys
from kinograd.files import RecordFile
from kinograd.types import DataError, UsageError
from kinograd.workers.row_map import close, map_rows

T = TypeVar("T")


class Journal:
    """Records by id on disk, and where each lies in a temporary file: nothing grows in memory.

    A record appended again under the same id replaces the first. Not for several processes.

    Args:
        digest: see ``digest_of``; a journal of another digest is refused.

    Raises:
        UsageError: the file belongs to another input or other options.
        DataError: the file is damaged before its last line.
    """

    def __init__(self, path: Path, digest: str) -> None:
        self.path = path
        self._file = RecordFile(path)
        self._places = SeenKeys()
        self._reader = path.open("rb")
        if path.stat().st_size == 0:
            self._file.append({"digest": digest})
        if _parsed(self._reader.readline(), path, 0).get("digest") != digest:
            self.close()
            raise UsageError(
                f"{path} is from another input or other options: run the same command as "
                f"before to finish that work, or delete {path} to start anew"
            )
        place = self._reader.tell()
        for line in iter(self._reader.readline, b""):
            self._places.set(_parsed(line, path, place)["id"], str(place))
            place += len(line)
        self._end = path.stat().st_size

    def __len__(self) -> int:
        """How many ids are done."""
        return len(self._places)

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def done(self, id: str) -> dict[str, Any] | None:
        """The record of ``id``; None if it has none yet."""
        place = self._places.get(id)
        if place is None:
            return None
        self._reader.seek(int(place))
        line = _parsed(self._reader.readline(), self.path, int(place))
        return line["record"] if line["id"] == id else None

    def append(self, id: str, record: Mapping[str, Any]) -> None:
        """Keep ``record`` under ``id``; safe against a kill when this returns."""
        self._file.append({"id": id, "record": record})
        self._places.set(id, str(self._end))
        self._end = self.path.stat().st_size

    def close(self) -> None:
        self._file.close()
        self._reader.close()
        self._places.close()

    def remove(self) -> None:
        """Delete the file: the final files are written."""
        self.close()
        self.path.unlink()


def resumable(
    make: Callable[[], Callable[[Any], dict[str, Any]]],
    rows: Iterable[tuple[str, T]],
    journal: Journal,
    *,
    workers: int = 1,
    backend: str = "local",
) -> Iterator[tuple[str, T, dict[str, Any]]]:
    """(place, row, record) of every row, in order; ``map_rows`` makes what the journal lacks.

    Args:
        make: see ``map_rows``; its function turns an Example into a JSON object.
        rows: with their places, which are the journal's ids. ``Rejected`` rows pass by with
            an empty record.
    """
    waiting: deque[tuple[str, T, bool]] = deque()

    def items() -> Iterator[tuple[T | None, dict[str, Any] | None]]:
        for place, row in rows:
            known = {} if isinstance(row, Rejected) else journal.done(place)
            waiting.append((place, row, known is None))
            yield row if known is None else None, known

    for record in map_rows(partial(_Unless, make), items(), workers=workers, backend=backend):
        place, row, new = waiting.popleft()
        if new:
            journal.append(place, record)
        yield place, row, record


class _Unless:
    """A worker's function that makes only records that are not known yet."""

    def __init__(self, make: Callable[[], Callable[[Any], dict[str, Any]]]) -> None:
        self._work = make()

    def __call__(self, item: tuple[Any, dict[str, Any] | None]) -> dict[str, Any]:
        row, known = item
        return self._work(row) if known is None else known

    def close(self) -> None:
        close(self._work)


def digest_of(files: Iterable[str | Path], options: Mapping[str, Any]) -> str:
    """Hexadecimal digest of the content of files or folders, in order, and of JSON ``options``.

    Raises:
        DataError: a file cannot be read.
    """
    digest = hashlib.sha256(json.dumps(options, sort_keys=True, default=str).encode())
    for named in map(Path, files):
        for file in sorted(named.rglob("*")) if named.is_dir() else [named]:
            try:
                with file.open("rb") as stream:
                    digest.update(hashlib.file_digest(stream, "sha256").digest())
            except IsADirectoryError:
                continue
            except OSError as error:
                raise DataError(f"{file}: cannot be read ({error.strerror})") from None
    return digest.hexdigest()


def _parsed(line: bytes, path: Path, place: int) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        found = None
    if not isinstance(found, dict) or not {"digest", "id"} & found.keys():
        raise DataError(f"{path}: damaged at byte {place}; delete it to start anew")
    return found
