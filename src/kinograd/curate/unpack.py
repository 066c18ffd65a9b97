"""Published archives extracted where they lie, as Video-R1's layout wants.

Every file appears whole or not at all, and one that is there in its size is not written
again: an interrupted extraction goes on. Members that would land outside of their folder,
through ``..``, an absolute path or a link, and links themselves are refused.
"""

from __future__ import annotations

import shutil
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from kinograd.datasets.rows import Rejected
from kinograd.files import RecordFile, atomic_path, read_records
from kinograd.types import DataError, Example

JOURNAL = ".unpacked.jsonl"
"""Finished archives, beside them: name, bytes, time of change."""


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What became of one archive; ``fault`` tells why it could not be read to its end."""

    archive: Path
    written: int = 0
    there: int = 0
    refused: tuple[str, ...] = ()
    fault: str | None = None


def archives(folder: Path) -> list[Path]:
    """The zip archives below a folder, in order."""
    return sorted(p for p in folder.rglob("*.zip") if p.is_file() and not p.is_symlink())


def unpack(folder: Path, advance: Callable[[int], object] = lambda size: None) -> list[Unpacked]:
    """Extract every archive below ``folder`` into the folder it lies in.

    Args:
        advance: told the bytes of each archive when it is done.

    Raises:
        DataError: not a folder, or the disk is too full; what was extracted stays.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    done = {(r["archive"], r["bytes"], r["changed"]) for r in read_records(folder / JOURNAL)}
    journal = RecordFile(folder / JOURNAL)
    results: list[Unpacked] = []
    try:
        for archive in archives(folder):
            told = archive.stat()
            name = archive.relative_to(folder).as_posix()
            if (name, told.st_size, told.st_mtime_ns) not in done:
                results.append(_extract(archive))
                if results[-1].fault is None:
                    journal.append(
                        {"archive": name, "bytes": told.st_size, "changed": told.st_mtime_ns}
                    )
            advance(told.st_size)
    finally:
        journal.close()
    return results


def missing(folder: Path, rows: Iterable[Example | Rejected]) -> Iterator[str]:
    """The media of rows that are not under ``folder``, each once."""
    known: dict[str, bool] = {}
    for row in rows:
        paths = () if isinstance(row, Rejected) else (p for m in row.media for p in m.cut.paths)
        for path in paths:
            if path not in known:
                known[path] = (folder / path).is_file()
                if not known[path]:
                    yield path


def _extract(archive: Path) -> Unpacked:
    root = archive.parent.resolve()
    refused: list[str] = []
    written = there = 0
    try:
        with zipfile.ZipFile(archive) as opened:
            wanted: list[tuple[zipfile.ZipInfo, Path]] = []
            for member in opened.infolist():
                target = _target(root, member)
                if target is None:
                    refused.append(member.filename)
                elif not member.is_dir():
                    wanted.append((member, target))
            todo = [(m, t) for m, t in wanted if not _is_there(m, t)]
            there = len(wanted) - len(todo)
            _require_space(root, archive, sum(m.file_size for m, _ in todo))
            for member, target in todo:
                target.parent.mkdir(parents=True, exist_ok=True)
                with atomic_path(target, durable=False) as partial:
                    with opened.open(member) as packed, partial.open("wb") as out:
                        shutil.copyfileobj(packed, out, 1 << 20)
                written += 1
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
        # damaged, cut off, encrypted, or packed in a way that Python cannot unpack
        fault = f"{error}; download it again"
        return Unpacked(archive, written, there, tuple(refused), fault)
    except OSError as error:  # a name that the file system cannot hold, a folder without rights
        return Unpacked(archive, written, there, tuple(refused), str(error))
    return Unpacked(archive, written, there, tuple(refused))


def _target(root: Path, member: zipfile.ZipInfo) -> Path | None:
    """Where a member goes; None if that is not below ``root``, or it is a link or a device."""
    name = PurePosixPath(member.filename.replace("\\", "/"))
    mode = stat.S_IFMT(member.external_attr >> 16)
    drive = ":" in (name.parts[0] if name.parts else "")
    if name.is_absolute() or ".." in name.parts or drive or not name.parts or "\0" in str(name):
        return None
    if mode not in (0, stat.S_IFREG, stat.S_IFDIR):
        return None
    target = root / name
    # a link that lay there before must not lead out either
    fits = target.resolve().is_relative_to(root) and not target.is_symlink()
    return target if fits else None


def _is_there(member: zipfile.ZipInfo, target: Path) -> bool:
    return target.is_file() and target.stat().st_size == member.file_size


def _require_space(root: Path, archive: Path, needed: int) -> None:
    free = shutil.disk_usage(root).free
    if needed > free:
        raise DataError(
            f"{archive}: needs {needed / 1e9:.1f} GB, the disk has {free / 1e9:.1f} GB left; "
            "make room and run the command again, it goes on here"
        )
