"""``kinograd data export``: rows in another format, or their clips as mp4."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from kinograd.commands.data.results import SHOWN, raise_unrendered
from kinograd.commands.settings import Words, read_words
from kinograd.config.data_formats import DataFormat
from kinograd.curate.render_clips import write_clips
from kinograd.curate.selection import refuse_overwrite
from kinograd.datasets.formats import find_format
from kinograd.datasets.formats.shards import write_shards
from kinograd.datasets.load import read_rows
from kinograd.datasets.rows import Rejected
from kinograd.section import Positive, Section
from kinograd.types import Example, KinogradError, UsageError

_SHARDS = 8


class Settings(Section):
    """Settings of ``data export``."""

    format: DataFormat | None = None
    """Format of OUT; null takes it from OUT's name."""
    shards: Positive | None = None
    """Number of files; OUT is then a folder. OUT/ without it: 8."""
    render: str | None = None
    """Folder to write one mp4 per video to; OUT's rows then name these files."""
    media_root: str = "."
    """Folder under which media lie."""
    limit: Positive | None = None
    """Number of rows to export; null exports all."""


def run(
    words: Words,
    out: Annotated[str, typer.Option("-o", "--out", help="File to write; OUT/ for shards.")] = "",
) -> None:
    """Write rows in another format; with render=FOLDER their clips as mp4 too."""
    (source,), settings = read_words(words, Settings)
    refuse_overwrite(out, source)
    if not out and settings.render is None:
        raise UsageError("name an output: -o OUT, render=FOLDER, or both")
    faults: list[str] = []
    rows = islice(_good_rows(source), settings.limit)
    if settings.render is not None:
        root, folder = Path(settings.media_root).resolve(), Path(settings.render).resolve()
        if out and not folder.is_relative_to(root):
            raise UsageError(f"rows name files under media_root={root}; {folder} is outside it")
        named = folder.relative_to(root) if out else Path()
        rows, faults = write_clips(list(rows), folder, root, named)
    if out:
        _export(out, rows, settings)
    raise_unrendered(faults)


def _export(out: str, rows: Iterable[Example], settings: Settings) -> None:
    format = settings.format
    if format in (None, "kinograd", "parquet"):
        print(f"{out}: {write_rows(out, rows, settings.shards, format)} rows")
        return
    chosen = find_format(format)
    if settings.shards is not None or out.endswith("/"):
        raise UsageError("shards are JSONL or parquet; leave format out")
    if chosen.write is None:
        raise UsageError(f"{format} is read only; write kinograd, parquet or messages")
    written = chosen.write(Path(out), rows)
    print(f"{out}: {written.rows} rows")
    for row in written.left_out[:SHOWN]:
        print(f"  left out: {row.where}: {row.detail}")
    if written.left_out:
        total = len(written.left_out)
        raise KinogradError(f"{format} cannot hold {total} of the rows; {out} holds the others")


def write_rows(
    out: str, examples: Iterable[Example], shards: int | None, format: str | None = None
) -> int:
    """Write canonical rows as the name of ``out`` says; return their number."""
    path = Path(out)
    name = format or ("parquet" if path.suffix == ".parquet" else "kinograd")
    if shards is not None or out.endswith("/"):
        kind = "parquet" if name == "parquet" else "jsonl"
        return write_shards(path, examples, shards or _SHARDS, kind).rows
    write = find_format(name).write
    assert write is not None
    return write(path, examples).rows


def _good_rows(path: str) -> Iterator[Example]:
    for row in read_rows(path):
        if isinstance(row, Rejected):
            raise KinogradError(f"{row.where}: {row.detail}; import the file first")
        yield row
