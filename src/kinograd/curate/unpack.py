"""Published archives, extracted where they lie, as Video-R1's layout wants.

Every file appears complete or not at all; an interrupted extraction resumes. Members that would
land outside of their folder (``..``, an absolute path, a link), links, and members that would
replace another file, an archive or the journal are refused.
"""

from __future__ import annotations

import shutil
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from kinograd.curate.journal import lock_journal
from kinograd.datasets.rows import Rejected, RowResult
from kinograd.files import RecordFile, atomic_path, read_records
from kinograd.types import DataError

JOURNAL = ".unpacked.jsonl"
"""Finished archives, beside them: name, bytes, time of change."""


@dataclass(frozen=True, slots=True)
class Unpacked:
    """Result of one archive.

    Attributes:
        written, there: files extracted, and files that were there already.
        refused: members that lead out of the folder, or are links or devices.
        kept: members that would replace another file, which was kept.
        fault: why the archive could not be read to its end, or None.
    """

    archive: Path
    written: int = 0
    there: int = 0
    refused: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    fault: str | None = None


def archives(folder: Path) -> list[Path]:
    """Return the zip archives below a folder, in order."""
    return sorted(p for p in folder.rglob("*.zip") if p.is_file() and not p.is_symlink())


def unpack(folder: Path, advance: Callable[[int], object] = lambda size: None) -> list[Unpacked]:
    """Extract every archive below ``folder`` into the folder it lies in.

    Args:
        advance: called with the bytes of each archive when it is done.

    Raises:
        UsageError: another process unpacks this folder.
        DataError: not a folder, a damaged journal, or the disk is too full; extracted files stay.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    path = folder / JOURNAL
    found = archives(folder)
    own = {path.resolve(), *(archive.resolve() for archive in found)}
    results: list[Unpacked] = []
    with closing(lock_journal(path)), closing(RecordFile(path)) as journal:
        done = read_records(path)
        for archive in found:
            status = archive.stat()
            record = {
                "archive": archive.relative_to(folder).as_posix(),
                "bytes": status.st_size,
                "changed": status.st_mtime_ns,
            }
            if record not in done:
                results.append(_extract(archive, own))
                if results[-1].fault is None and not results[-1].kept:
                    journal.append(record)
            advance(status.st_size)
    return results


def missing(folder: Path, rows: Iterable[RowResult]) -> Iterator[str]:
    """Yield the media of rows that are not under ``folder``, each once."""
    known: dict[str, bool] = {}
    for row in rows:
        paths = () if isinstance(row, Rejected) else (p for m in row.media for p in m.cut.paths)
        for path in paths:
            if path not in known:
                known[path] = (folder / path).is_file()
                if not known[path]:
                    yield path


@dataclass
class _Plan:
    """Members of an archive, sorted by the action taken."""

    todo: dict[Path, zipfile.ZipInfo] = field(default_factory=dict)
    there: int = 0
    refused: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)


def _plan(opened: zipfile.ZipFile, root: Path, own: set[Path]) -> _Plan:
    """Sort the members of an archive; ``own`` files are never replaced."""
    plan = _Plan()
    for member in opened.infolist():
        target = _target(root, member)
        if target is None:
            plan.refused.append(member.filename)
        elif member.is_dir():
            continue
        elif target.resolve() in own or target in plan.todo:
            plan.kept.append(member.filename)
        elif not target.exists():
            plan.todo[target] = member
        elif target.is_file() and target.stat().st_size == member.file_size:
            plan.there += 1
        else:
            plan.kept.append(member.filename)
    return plan


def _extract(archive: Path, own: set[Path]) -> Unpacked:
    root = archive.parent.resolve()
    plan, written, fault = _Plan(), 0, None
    try:
        with zipfile.ZipFile(archive) as opened:
            plan = _plan(opened, root, own)
            _require_space(root, archive, sum(m.file_size for m in plan.todo.values()))
            for target, member in plan.todo.items():
                target.parent.mkdir(parents=True, exist_ok=True)
                with atomic_path(target, durable=False) as partial:
                    with opened.open(member) as packed, partial.open("wb") as out:
                        shutil.copyfileobj(packed, out, 1 << 20)
                written += 1
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
        # damaged, cut off, encrypted, or packed in a way that Python cannot unpack
        fault = f"{error}; download it again"
    except OSError as error:  # a name that the file system cannot hold, a folder without rights
        fault = str(error)
    return Unpacked(archive, written, plan.there, tuple(plan.refused), tuple(plan.kept), fault)


def _target(root: Path, member: zipfile.ZipInfo) -> Path | None:
    """Return where a member goes; None if that is outside ``root``, or it is a link or device."""
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


def _require_space(root: Path, archive: Path, needed: int) -> None:
    free = shutil.disk_usage(root).free
    if needed > free:
        raise DataError(
            f"{archive}: needs {needed / 1e9:.1f} GB, the disk has {free / 1e9:.1f} GB left; "
            "make room and run the command again to resume"
        )
