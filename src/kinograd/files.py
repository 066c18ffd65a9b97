"""Files: atomic writers, digests, and append-only JSON Lines records.

Every file that another process may read, or a later run may need, is written here: to a
temporary name beside its place, then renamed. A reader sees the old content or the new one,
never a part.

Records are appended one line at a time, so a killed writer leaves at most one torn line, the
last. Readers skip that line; a writer that opens the file again cuts it off first. A torn
line elsewhere is damage, and an error.
"""

from __future__ import annotations

import errno
import hashlib
import itertools
import json
import math
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from kinograd.types import DataError, UsageError

_BLOCK = 64 << 10
_writes = itertools.count()

# --------------------------------------------------------------- atomic writers


@contextmanager
def atomic_path(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it to ``path`` on success, else delete it.

    The permissions follow the umask, whatever library writes the file. Parent folders are made.

    Args:
        durable: sync the file and its folder to disk, so that it survives a power cut, and
            delete what killed writers of ``path`` left. Caches need neither.

    Raises:
        UsageError: ``path`` is a folder.
    """
    if path.is_dir():
        raise UsageError(f"{path} is a folder; name a file to write")
    path.parent.mkdir(parents=True, exist_ok=True)
    if durable:
        delete_leftovers(path.parent, path.name)
    partial = path.with_name(f"{path.name}.{os.getpid()}.{next(_writes)}.partial")
    try:
        partial.touch()
        mode = partial.stat().st_mode
        yield partial
        partial.chmod(mode)  # safetensors, for one, makes its files private
        if durable:
            fsync_path(partial)
        os.replace(partial, path)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT) and error.filename is None:
            error.filename = str(path)  # a failed write does not name its file
        raise
    finally:
        partial.unlink(missing_ok=True)
    if durable:
        fsync_path(path.parent)


def follow_umask(folder: Path) -> None:
    """Give safetensors files in ``folder`` the permissions of a new file; they are private."""
    with tempfile.TemporaryDirectory(dir=folder) as fresh:
        (Path(fresh) / "new").touch()
        mode = (Path(fresh) / "new").stat().st_mode
    for file in folder.glob("*.safetensors"):
        file.chmod(mode)


@contextmanager
def atomic_stream(path: Path) -> Iterator[TextIO]:
    """Yield a UTF-8 text stream with LF line ends; its file appears at ``path`` on success."""
    with atomic_path(path) as partial, partial.open("w", encoding="utf-8", newline="\n") as stream:
        yield stream


def atomic_text(path: Path, text: str) -> None:
    """Replace the content of ``path`` with ``text`` in UTF-8."""
    atomic_bytes(path, text.encode())


def atomic_bytes(path: Path, data: bytes) -> None:
    """Replace the content of ``path`` with ``data``."""
    with atomic_path(path) as partial:
        partial.write_bytes(data)


def fsync_path(path: Path) -> None:
    """Sync a file's content, or the renames inside a folder, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def delete_leftovers(folder: Path, name: str | None = None) -> None:
    """Delete what killed writers on this machine left in ``folder`` (of the file ``name`` only)."""
    for left in folder.glob("*.partial"):
        found = re.fullmatch(r"(.+)\.(\d+)\.\d+\.partial", left.name)
        if found and name in (None, found[1]) and not _is_running(int(found[2])):
            left.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True


# ---------------------------------------------------------------------- digests


def digest(data: bytes | str, size: int = 16) -> str:
    """Return ``2 * size`` hex digits (BLAKE2b) of bytes, or of text in UTF-8."""
    if isinstance(data, str):
        data = data.encode("utf-8", "surrogatepass")  # lone surrogates are text here
    return hashlib.blake2b(data, digest_size=size).hexdigest()


def digest_json(value: Any, size: int = 16) -> str:
    """Return ``2 * size`` hex digits of a JSON value; the order of its keys does not matter."""
    return digest(json.dumps(value, sort_keys=True), size)


def digest_file(path: Path, algorithm: str = "blake2b") -> str:
    """Return the hex digest of a file's content by an algorithm that ``hashlib`` names."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, algorithm).hexdigest()


def digest_ends(path: Path, *stamps: object, size: int = 16) -> str:
    """Return ``2 * size`` hex digits of a file's length, first and last 64 KiB.

    Videos of many gigabytes are identified without being read through. Equal content gives
    equal digits, whatever the file's name.

    Args:
        stamps: more that the digits depend on, the time of the last change for instance.
    """
    length = path.stat().st_size
    found = hashlib.blake2b(":".join(map(str, (length, *stamps))).encode(), digest_size=size)
    with path.open("rb") as stream:
        found.update(stream.read(_BLOCK))
        stream.seek(max(0, length - _BLOCK))
        found.update(stream.read(_BLOCK))
    return found.hexdigest()


# ---------------------------------------------------------------------- records


class RecordFile:
    """A JSONL file open for appending."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        _cut_torn_line(path)
        self.path = path
        self._stream = path.open("a", encoding="utf-8")

    def append(self, record: Mapping[str, Any]) -> None:
        """Write one record and hand it to the operating system.

        Raises:
            ValueError: the record holds NaN or infinity (see ``split_nonfinite``), or text that
                is not Unicode.
        """
        self._stream.write(json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n")
        self._stream.flush()

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


def read_records(path: Path) -> list[dict[str, Any]]:
    """Return all complete records of a file; an empty list if there is no file.

    Raises:
        DataError: a line before the last is not a JSON object.
    """
    return list(_parsed(path)) if path.exists() else []


def filter_records(path: Path, wanted: Callable[[dict[str, Any]], bool]) -> int:
    """Rewrite a file with only the wanted records; return the number of records removed."""
    records = read_records(path)
    kept = [record for record in records if wanted(record)]
    if len(kept) < len(records):
        atomic_text(path, "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in kept))
    return len(records) - len(kept)


def split_nonfinite(values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Replace numbers that JSON cannot hold.

    Returns:
        The values with null for NaN and infinities, and the names of the replaced ones.

    >>> split_nonfinite({"loss": float("inf"), "lr": 0.1})
    ({'loss': None, 'lr': 0.1}, {'loss': 'inf'})
    """
    odd = {k: str(v) for k, v in values.items() if isinstance(v, float) and not math.isfinite(v)}
    return {k: None if k in odd else v for k, v in values.items()}, odd


def _parsed(path: Path) -> Iterator[dict[str, Any]]:
    lines = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines[:-1], start=1):  # the last is empty, or torn
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
    complete = data.rfind(b"\n") + 1
    if complete < len(data):
        os.truncate(path, complete)
