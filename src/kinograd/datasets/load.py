"""The examples of a recipe: all good rows of its files, and the others with their reasons."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from kinograd.datasets.formats import read_any
from kinograd.datasets.rows import Reason, Rejected
from kinograd.types import DataError, Example


def load_examples(
    files: Iterable[str | Path], format: str = "kinograd", limit: float = 1.0
) -> tuple[list[Example], list[Rejected]]:
    """Read files of one format; ids are unique over all of them.

    Args:
        limit: share of rows that may be rejected (``data.max_failed_fraction``).

    Raises:
        DataError: a file is missing or holds no good row, or more rows than ``limit`` are bad.
    """
    good: dict[str, Example] = {}
    rejected: list[Rejected] = []
    for file in files:
        before, first = len(good), len(rejected)
        for row in read_any(file, format):
            if isinstance(row, Rejected):
                rejected.append(row)
            elif row.id in good:
                detail = "a row of an earlier file has this id"
                rejected.append(Rejected(str(file), Reason.DUPLICATE, detail, row.id))
            else:
                good[row.id] = row
        if len(good) == before:
            why = next(iter(rejected[first:]), None)
            told = "holds no rows" if why is None else f"no row is good; {why.where}: {why.detail}"
            raise DataError(f"{file}: {told}")
    if len(rejected) > limit * (len(rejected) + len(good)):
        raise DataError(
            f"{len(rejected)} of {len(rejected) + len(good)} rows cannot be used, more than the "
            f"share of {limit} that the recipe allows; {rejected[0].where}: {rejected[0].detail}. "
            "See all with: kinograd data validate FILE"
        )
    return list(good.values()), rejected
