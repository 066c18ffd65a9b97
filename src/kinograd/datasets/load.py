"""From a path to examples: find the format, read its rows, reject repeated ids."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from kinograd.budget import FailureBudget
from kinograd.config.data_formats import FORMAT_MODULES
from kinograd.datasets.formats import find_format
from kinograd.datasets.formats.shards import manifest_of
from kinograd.datasets.raw_rows import raw_rows
from kinograd.datasets.rows import LocatedRow, RawRow, Reason, Rejected, RowResult, reject_repeated
from kinograd.types import DataError, Example, UsageError


def load_examples(
    files: Iterable[str | Path], format: str = "kinograd", limit: float = 1.0
) -> tuple[list[Example], list[Rejected]]:
    """Return the good rows of files of one format and the rejected; ids are unique over all.

    Args:
        limit: share of rows that may be rejected (``data.max_failed_fraction``).

    Raises:
        DataError: a file is missing or holds no good row, or more rows than ``limit`` are bad.
    """
    good: dict[str, Example] = {}
    rejected: list[Rejected] = []
    for file in files:
        before, first = len(good), len(rejected)
        for row in read_rows(file, format):
            if isinstance(row, Rejected):
                rejected.append(row)
            elif row.id in good:
                detail = "a row of an earlier file has this id"
                rejected.append(Rejected(str(file), Reason.DUPLICATE, detail, row.id))
            else:
                good[row.id] = row
        if len(good) == before:
            why = next(iter(rejected[first:]), None)
            fault = "holds no rows" if why is None else f"no row is good; {why.where}: {why.detail}"
            raise DataError(f"{file}: {fault}")
    if rejected:
        first = f"{rejected[0].where}: {rejected[0].detail}"
        budget = FailureBudget(limit, "the share that the recipe")
        budget.spend(len(rejected), len(rejected) + len(good))
        budget.check("rows cannot be used", first, "see all with: kinograd data validate FILE")
    return list(good.values()), rejected


def read_rows(
    path: str | Path, format: str = "auto", layout: str | None = None
) -> Iterator[RowResult]:
    """Yield the rows of ``located_rows``; later rows of an id are rejected."""
    return (row for _, row in reject_repeated(located_rows(path, format, layout)))


def located_rows(
    path: str | Path, format: str = "auto", layout: str | None = None
) -> Iterator[LocatedRow]:
    """Yield the rows of a file, a sharded folder (or its manifest.json) or a hub data set.

    Args:
        format: name of the format; ``auto`` guesses it.
        layout: path of a row's media, for the formats that do not name it.

    Raises:
        UsageError: an unknown format, or a layout for a format without.
        DataError: no such file, or no guess; at the end, if there were no rows.
    """
    path = Path(path)
    if format != "hub" and not path.exists():
        raise DataError(f"{path}: no such file")
    if format in ("auto", "kinograd", "parquet") and manifest_of(path) is not None:
        format = "shards"
    found = find_format(guess_format(path) if format == "auto" else format)
    if layout is None:
        return _not_empty(path, found.read(path))
    if found.layout is None:
        raise UsageError(f"the rows of {found.name} name their media; leave layout out")
    return _not_empty(path, found.read(path, layout=layout))


def guess_format(path: Path) -> str:
    """Return the name of a file's format, by its name and its first row.

    Raises:
        DataError: no format fits.
    """
    if path.is_dir():
        raise DataError(f"{path}: a folder without manifest.json; name a file in it")
    fields: set[str] = set()
    fault = "holds no rows"
    for row in raw_rows(path):
        fault = f"{row.where}: {row.detail}" if isinstance(row, Rejected) else ""
        if isinstance(row, RawRow):
            fields = set(row.value) if isinstance(row.value, dict) else set()
            break
    for name in FORMAT_MODULES:
        if find_format(name).fits(path, fields):
            return name
    if fault == "holds no rows":
        raise DataError(f"{path}: {fault}")
    raise DataError(
        f"{fault or path}: no known format has rows like the first; set format=NAME, one of "
        f"{', '.join(FORMAT_MODULES)}"
    )


def _not_empty(path: Path, rows: Iterator[LocatedRow]) -> Iterator[LocatedRow]:
    empty = True
    for row in rows:
        yield row
        empty = False
    if empty:
        raise DataError(f"{path}: holds no rows")
