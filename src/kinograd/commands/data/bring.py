"""Bring data in and take it out: import, export, unpack."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kinograd.types import KinogradError, UsageError

if TYPE_CHECKING:
    from kinograd.datasets.formats import Found
    from kinograd.types import Example

Shards = Annotated[
    int | None, typer.Option(min=1, help="Files; OUT is then a folder (OUT/ has 8).")
]
Limit = Annotated[int | None, typer.Option(min=1, help="Only the first N examples.")]
Format = Annotated[
    str, typer.Option("--format", help="Of the source: auto, or a name that import --list shows.")
]
_SHARDS = 8
_EVERY_S = 10.0
_SHOWN = 20


def import_(
    source: Annotated[str, typer.Argument(help="File, sharded folder, or hub data set.")] = "",
    out: Annotated[str, typer.Argument(help="OUT.jsonl, OUT.parquet, or OUT/ for shards.")] = "",
    format: Format = "auto",
    layout: Annotated[
        str | None, typer.Option(help="Where media lie, for annotations: {split}/{id}.mp4.")
    ] = None,
    shards: Shards = None,
    max_rejected: Annotated[
        float, typer.Option(min=0, max=1, help="Share of bad rows that is no failure.")
    ] = 0.05,
    list_: Annotated[bool, typer.Option("--list", help="List the formats and stop.")] = False,
) -> None:
    """Read any known format; good rows go to OUT, the others to its quarantine with why."""
    from kinograd.commands.data.teach import show
    from kinograd.curate.selection import apart, write_outcome
    from kinograd.datasets.formats import FORMATS, read_any

    if list_:
        for name, one in FORMATS.items():
            print(f"{name:15}{one.about}")
        return
    if not source or not out:
        raise UsageError("name a source and OUT: kinograd data import SOURCE OUT.jsonl")
    target = Path(out)
    apart(target, source)
    rows = _rated(read_any(source, format, layout))
    outcome = write_outcome(target, rows, lambda _, examples: _write(out, examples, shards))
    show(target, outcome)
    bad = outcome.left_out.total()
    if not outcome.kept:
        raise KinogradError(f"no row of {source} could be used; is its format {format}?")
    if bad > max_rejected * (bad + outcome.kept):
        raise KinogradError(
            f"{bad} of {bad + outcome.kept} rows were rejected, more than --max-rejected "
            f"{max_rejected:g}; if they can be spared, raise it: {target} holds the others"
        )


def export(
    examples: Annotated[Path, typer.Argument(help="Data file of any format.")],
    out: Annotated[str, typer.Argument(help="File to write; OUT/ for shards.")] = "",
    format: Annotated[
        str | None, typer.Option("--format", help="Of OUT; from its name if not set.")
    ] = None,
    shards: Shards = None,
    render: Annotated[Path | None, typer.Option(help="Folder for one mp4 per video.")] = None,
    media_root: Annotated[Path, typer.Option(help="Folder under which media lie.")] = Path("."),
    limit: Limit = None,
) -> None:
    """Write a data file in another format; with --render its cuts as mp4, and OUT names those."""
    from itertools import islice

    from kinograd.commands.data.look import refuse, write_clips
    from kinograd.curate.selection import apart
    from kinograd.datasets.formats import format_of

    apart(out, examples)
    faults: list[str] = []
    if not out and render is None:
        raise UsageError("name OUT, or --render FOLDER, or both")
    if format is not None:
        format_of(format)
    rows = islice(_good(examples), limit)
    if render is not None:
        root, named = media_root.resolve(), render.resolve()
        if out and not named.is_relative_to(root):
            raise UsageError(f"rows name files under --media-root {root}; {named} lies elsewhere")
        named = named.relative_to(root) if out else Path()
        rows, faults = write_clips(list(rows), render, media_root, named=named)
    if out:
        _export(out, rows, format, shards)
    refuse(faults)


def _export(out: str, rows: Iterable[Example], format: str | None, shards: int | None) -> None:
    from kinograd.datasets.formats import format_of

    if format in (None, "kinograd", "parquet"):
        print(f"{out}: {_write(out, rows, shards, format)} rows")
        return
    chosen = format_of(format)
    if shards is not None or out.endswith("/"):
        raise UsageError("shards are JSONL or parquet; leave --format out")
    if chosen.write is None:
        raise UsageError(f"{format} is only read; export parquet and upload the file")
    written = chosen.write(Path(out), rows)
    print(f"{out}: {written.rows} rows")
    for row in written.left_out[:_SHOWN]:
        print(f"  left out: {row.where}: {row.detail}")
    if written.left_out:
        total = len(written.left_out)
        raise KinogradError(f"{total} rows cannot be told in {format}; {out} holds the others")


def unpack(
    folder: Annotated[Path, typer.Argument(help="Folder with the published zip archives.")],
    json: Annotated[
        list[Path] | None, typer.Option("--json", help="Data file whose media must be there.")
    ] = None,
    format: Format = "auto",
) -> None:
    """Extract zip archives where they lie, then list media of data files that are missing."""
    from kinograd.curate.unpack import archives, missing
    from kinograd.curate.unpack import unpack as work
    from kinograd.datasets.formats import read_any
    from kinograd.progress import progress

    total = sum(a.stat().st_size for a in archives(folder)) if folder.is_dir() else 0
    with progress(max(1, total >> 20), "unpacking (MiB)") as bar:
        results = work(folder, lambda size: bar.advance(size >> 20))
    for one in results:
        print(f"{one.archive}: {one.written} files extracted, {one.there} were there")
        for name in one.refused[:_SHOWN]:
            print(f"  refused, leads out of the folder or is a link: {name!r}")
        if one.fault:
            print(f"  {one.fault}")
    absent = 0
    for file in json or []:
        for path in missing(folder, read_any(file, format)):
            absent += 1
            if absent <= _SHOWN:
                print(f"missing: {path}")
    if faults := sum(one.fault is not None for one in results):
        raise KinogradError(f"{faults} archives could not be read to their end; see above")
    if absent:
        raise KinogradError(f"{absent} media files are missing under {folder}")


def _write(
    out: str, examples: Iterable[Example], shards: int | None, format: str | None = None
) -> int:
    """Write canonical rows as the name of OUT says; returns their number."""
    from kinograd.datasets.formats import FORMATS
    from kinograd.datasets.formats.shards import write_shards

    path = Path(out)
    name = format or ("parquet" if path.suffix == ".parquet" else "kinograd")
    if shards is not None or out.endswith("/"):
        kind = "parquet" if name == "parquet" else "jsonl"
        return write_shards(path, examples, shards or _SHARDS, kind).rows
    write = FORMATS[name].write
    assert write is not None
    return write(path, examples).rows


def _good(path: Path) -> Iterator[Example]:
    from kinograd.datasets.formats import read_any
    from kinograd.datasets.rows import Rejected

    for row in read_any(path):
        if isinstance(row, Rejected):
            raise KinogradError(f"{row.where}: {row.detail}; import the file first")
        yield row


def _rated(rows: Iterable[Found]) -> Iterator[Found]:
    """The rows, with their number and rate on standard error every few seconds and at the end."""
    began = shown = time.monotonic()
    count = 0
    for count, row in enumerate(rows, start=1):
        yield row
        if count % 256 == 0 and (now := time.monotonic()) - shown >= _EVERY_S:
            shown = now
            print(f"{count} rows, {count / (now - began):,.0f} rows/s", file=sys.stderr)
    rate = count / max(1e-9, time.monotonic() - began)
    print(f"{count} rows read, {rate:,.0f} rows/s", file=sys.stderr)
