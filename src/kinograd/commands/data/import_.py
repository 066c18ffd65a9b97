"""``kinograd data import``: any known format to canonical rows."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from kinograd.commands.data.export import write_rows
from kinograd.commands.data.results import show
from kinograd.commands.settings import Words, read_words
from kinograd.config.data_formats import FORMAT_MODULES, DataFormat
from kinograd.curate.selection import refuse_overwrite, write_with_quarantine
from kinograd.datasets.formats import find_format
from kinograd.datasets.load import read_rows
from kinograd.datasets.rows import RowResult
from kinograd.section import Fraction, Positive, Section
from kinograd.types import KinogradError, UsageError

_EVERY_S = 10.0


class Settings(Section):
    """Settings of ``data import``."""

    format: DataFormat = "auto"
    """Format of the input; --list shows all."""
    layout: str | None = None
    """Path of a row's media, for formats that do not name it, such as {subset}/{id}.mp4."""
    shards: Positive | None = None
    """Number of files; OUT is then a folder. OUT/ without it: 8."""
    max_rejected: Fraction = 0.05
    """Share of rejected rows above which the exit status is 1."""


def run(
    words: Words = [],  # noqa: B006
    out: Annotated[
        str, typer.Option("-o", "--out", help="OUT.jsonl, OUT.parquet, or OUT/ for shards.")
    ] = "",
    list_: Annotated[bool, typer.Option("--list", help="List the formats and stop.")] = False,
) -> None:
    """Read a file, sharded folder or hub data set; write the good rows to OUT.

    Rejected rows are listed with their reasons in OUT's quarantine.
    """
    if list_:
        for name in FORMAT_MODULES:
            print(f"{name:15}{find_format(name).about}")
        return
    (source,), settings = read_words(words, Settings)
    if not out:
        raise UsageError("name the output: kinograd data import SOURCE -o OUT.jsonl")
    target = Path(out)
    refuse_overwrite(target, source)
    rows = _with_rate(read_rows(source, settings.format, settings.layout))
    outcome = write_with_quarantine(
        target, rows, lambda _, examples: write_rows(out, examples, settings.shards)
    )
    show(target, outcome)
    bad = outcome.left_out.total()
    if not outcome.kept:
        raise KinogradError(f"no row of {source} could be used; is its format {settings.format}?")
    if bad > settings.max_rejected * (bad + outcome.kept):
        raise KinogradError(
            f"{bad} of {bad + outcome.kept} rows were rejected, more than max_rejected="
            f"{settings.max_rejected:g}; {target} holds the others. To accept that, raise it"
        )


def _with_rate(rows: Iterable[RowResult]) -> Iterator[RowResult]:
    """Yield the rows; print their number and rate every few seconds and at the end."""
    began = shown = time.monotonic()
    count = 0
    for count, row in enumerate(rows, start=1):
        yield row
        if count % 256 == 0 and (now := time.monotonic()) - shown >= _EVERY_S:
            shown = now
            print(f"{count} rows, {count / (now - began):,.0f} rows/s", file=sys.stderr)
    rate = count / max(1e-9, time.monotonic() - began)
    print(f"{count} rows read, {rate:,.0f} rows/s", file=sys.stderr)
