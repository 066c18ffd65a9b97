"""Results kept while a verb works, so that a killed one resumes where it stopped.

A journal is a scratch file beside the outputs: a header with the digest of everything that
decides the results, then one record per id. The verb writes its final files from it, in the
order of its input, so that an interrupted and an uninterrupted run end with the same bytes.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from kinograd.datasets.rows import Rejected
from kinograd.datasets.seen_keys import SeenKeys
from kinograd.files import RecordFile
from kinograd.types import DataError, UsageError
from kinograd.workers.row_map import close, map_rows

log = logging.getLogger(__name__)
T = TypeVar("T")


class Journal:
    """Records by id on disk; a temporary file maps ids to places, so memory does not grow.

    A record appended again under the same id replaces the first.

    Args:
        digest: see ``digest_of``; a journal of another digest is refused.

    Raises:
        UsageError: another process holds the journal, or it belongs to another input or other
            options.
        DataError: the file is damaged before its last line.
    """

    def __init__(self, path: Path, digest: str) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = lock_journal(path)  # first: opening for records cuts off a torn line
        self._file = RecordFile(path)
        self._places = SeenKeys()
        self._reader = path.open("rb")
        if path.stat().st_size == 0:
            self._file.append({"digest": digest})
        if _parsed(self._reader.readline(), path, 0).get("digest") != digest:
            self.close()
            raise UsageError(
                f"{path} is from another input or other options: run the same command as "
                f"before to finish that work, or delete {path} to start over"
            )
        place = self._reader.tell()
        for line in iter(self._reader.readline, b""):
            self._places.set(_parsed(line, path, place)["id"], str(place))
            place += len(line)
        self._end = path.stat().st_size

    def __len__(self) -> int:
        """Return the number of ids that have a record."""
        return len(self._places)

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def done(self, id: str) -> dict[str, Any] | None:
        """Return the record of ``id``, or None."""
        place = self._places.get(id)
        if place is None:
            return None
        self._reader.seek(int(place))
        line = _parsed(self._reader.readline(), self.path, int(place))
        return line["record"] if line["id"] == id else None

    def append(self, id: str, record: Mapping[str, Any]) -> None:
        """Store ``record`` under ``id``; it survives a kill once this returns."""
        self._file.append({"id": id, "record": record})
        self._places.set(id, str(self._end))
        self._end = self.path.stat().st_size

    def close(self) -> None:
        """Close the file and let other processes open it."""
        self._file.close()
        self._reader.close()
        self._places.close()
        self._lock.close()

    def remove(self) -> None:
        """Delete the file, after the final files were written."""
        self.path.unlink()  # before others may open it
        self.close()


def lock_journal(path: Path) -> BinaryIO:
    """Open a journal and lock it until the returned stream is closed or the process ends.

    Raises:
        UsageError: another process holds it.
    """
    stream = path.open("ab")
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN):
            stream.close()
            raise UsageError(
                f"another process is writing {path}: wait for it or end it, or name another output"
            ) from None
        log.warning("%s: this file system has no locks (%s); start no second run", path, error)
    return stream


def resumable(
    make: Callable[[], Callable[[Any], dict[str, Any]]],
    rows: Iterable[tuple[str, T]],
    journal: Journal,
    *,
    workers: int = 1,
    backend: str = "local",
) -> Iterator[tuple[str, T, dict[str, Any]]]:
    """Yield (place, row, record) of every row, in order; new records are made by ``map_rows``.

    Args:
        make: see ``map_rows``; its function turns an Example into a JSON object.
        rows: with their places, which are the journal's ids. ``Rejected`` rows get an
            empty record.
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
    """A worker's function that makes only the records that the journal lacks."""

    def __init__(self, make: Callable[[], Callable[[Any], dict[str, Any]]]) -> None:
        self._work = make()

    def __call__(self, item: tuple[Any, dict[str, Any] | None]) -> dict[str, Any]:
        row, known = item
        return self._work(row) if known is None else known

    def close(self) -> None:
        close(self._work)


def digest_of(files: Iterable[str | Path], options: Mapping[str, Any]) -> str:
    """Return a hexadecimal digest of files or folders, in order, and of JSON ``options``.

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
        raise DataError(f"{path}: damaged at byte {place}; delete it to start over")
    return found
