"""Shared input and output of verbs: rows with places, progress, counts of rejections."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

from kinograd.curate.selection import Selection, quarantine_path
from kinograd.datasets.load import located_rows
from kinograd.datasets.rows import LocatedRow, reject_repeated
from kinograd.progress import progress
from kinograd.types import KinogradError, UsageError

SHOWN = 20
"""Most lines of one list on the screen."""


def rows_of(paths: Iterable[str | Path], format: str) -> Iterator[LocatedRow]:
    """Yield (place, row) of several files; repeated ids are not looked for."""
    return chain.from_iterable(located_rows(path, format) for path in paths)


def unique_rows(paths: Iterable[str | Path], format: str) -> Iterator[LocatedRow]:
    """Yield (place, row) of several files; later rows of an id are rejected."""
    return reject_repeated(rows_of(paths, format))


def absolute_root(folder: str | None) -> str | None:
    """Return ``media_root`` as an absolute path, because workers may run in another folder.

    Raises:
        UsageError: there is no such folder.
    """
    if folder is not None and not Path(folder).is_dir():
        raise UsageError(f"media_root={folder}: no such folder")
    return None if folder is None else str(Path(folder).resolve())


@contextmanager
def counting(paths: Iterable[str | Path], description: str) -> Iterator[Callable[[], Any]]:
    """Show a progress bar where rows can be counted as lines: files named ``.jsonl``."""
    files, total = [Path(path) for path in paths], 0
    if any(path.suffix != ".jsonl" or not path.is_file() for path in files):
        yield lambda: None
        return
    for path in files:
        with path.open("rb") as stream:
            total += sum(block.count(b"\n") for block in iter(lambda: stream.read(1 << 20), b""))
    with progress(total, description) as bar:
        yield bar.advance


def show(out: Path, outcome: Selection) -> None:
    """Print how many rows were kept, and how many were left out for which reason."""
    print(f"{out}: {outcome.kept} rows")
    for reason, count in outcome.left_out.most_common():
        print(f"  {count} left out: {reason}")
    if outcome.left_out:
        print(f"  rows and reasons: {quarantine_path(out)}")


def raise_unrendered(faults: Sequence[str]) -> None:
    """Raise a KinogradError that lists the clips that could not be rendered, if there are any."""
    if faults:
        lines = [f"{len(faults)} clips cannot be rendered:", *faults[:SHOWN]]
        raise KinogradError("\n".join(lines))
