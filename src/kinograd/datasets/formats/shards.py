"""One data set as many files: JSONL or parquet shards with a manifest.

Row i is in shard i modulo N, so that rows are written as they come, shards are of one
size, and reading by turns gives the rows back in their order. ``manifest.json`` holds rows,
bytes and sha256 of each shard; readers verify them before the first row.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from kinograd.datasets.formats import kinograd, parquet
from kinograd.datasets.formats.base import Format, Written
from kinograd.datasets.jsonl import example_to_json, with_unique_ids
from kinograd.datasets.rows import LocatedRow
from kinograd.files import atomic_text, digest_file, fsync_path
from kinograd.types import DataError, Example, UsageError

MANIFEST = "manifest.json"


def manifest_of(path: Path) -> dict[str, Any] | None:
    """Return the manifest of a sharded folder, or of its manifest.json; None for any other path.

    Raises:
        DataError: there is one, damaged.
    """
    file = path / MANIFEST if path.is_dir() else path
    if file.name != MANIFEST or not file.is_file():
        return None
    try:
        manifest = json.loads(file.read_bytes())
        names = [s["file"] for s in manifest["shards"] if (s["rows"], s["bytes"], s["sha256"])]
        if any(Path(name).name != name for name in names):
            raise ValueError("a shard is not in the manifest's folder")
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{file}: not a manifest of shards ({error!r})") from None
    return manifest


def read(path: Path) -> Iterator[LocatedRow]:
    """Yield the rows of a sharded folder in their order.

    Raises:
        DataError: a shard is missing, or not what was written.
    """
    manifest = manifest_of(path)
    if manifest is None:
        raise DataError(f"{path}: holds no {MANIFEST}")
    folder = path if path.is_dir() else path.parent
    for shard in manifest["shards"]:
        file = folder / shard["file"]
        if not file.is_file():
            raise DataError(f"{file}: the shard is missing; copy the whole folder again")
        if file.stat().st_size != shard["bytes"] or digest_file(file, "sha256") != shard["sha256"]:
            raise DataError(f"{file}: not the shard in {MANIFEST}; copy or write it again")
    return _in_turns([folder / s["file"] for s in manifest["shards"]])


def _in_turns(files: list[Path]) -> Iterator[LocatedRow]:
    form = parquet.FORMAT if files and files[0].suffix == ".parquet" else kinograd.FORMAT
    readers = [form.read(file) for file in files]
    while readers:
        for reader in readers:
            row = next(reader, None)
            if row is None:  # the first that ends has the last turn
                return
            yield row


def write_shards(folder: Path, examples: Iterable[Example], shards: int, kind: str) -> Written:
    """Write Examples as ``shards`` files; the folder appears complete or not at all.

    Args:
        kind: ``jsonl`` or ``parquet``.

    Raises:
        UsageError: the folder exists.
        DataError: a repeated id.
    """
    if folder.exists():
        raise UsageError(f"{folder} exists; delete it, or choose another name")
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        count = _write(temporary, with_unique_ids(folder, examples), shards, kind)
        os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    fsync_path(folder.parent)
    return Written(count)


def _write(temporary: Path, examples: Iterable[Example], shards: int, kind: str) -> int:
    temporary.mkdir(parents=True)
    files = [temporary / f"part-{n:05d}-of-{shards:05d}.{kind}" for n in range(shards)]
    opener = parquet.row_writer if kind == "parquet" else _lines
    counts = [0] * shards
    with ExitStack() as opened:
        writers = [opened.enter_context(opener(file)) for file in files]
        for number, example in enumerate(examples):
            writers[number % shards](example)
            counts[number % shards] += 1
    listed = [
        {"file": f.name, "rows": n, "bytes": f.stat().st_size, "sha256": digest_file(f, "sha256")}
        for f, n in zip(files, counts, strict=True)
    ]
    for file in files:
        fsync_path(file)
    manifest = {"format": kind, "order": "row i is in shard i modulo N", "shards": listed}
    atomic_text(temporary / MANIFEST, (json.dumps(manifest, indent=1) + "\n"))
    return sum(counts)


@contextmanager
def _lines(file: Path) -> Iterator[Callable[[Example], object]]:
    with file.open("w", encoding="utf-8", newline="\n") as stream:
        yield lambda e: stream.write(
            json.dumps(example_to_json(e), ensure_ascii=False, allow_nan=False) + "\n"
        )


FORMAT = Format(
    "shards",
    "a folder of JSONL or parquet shards with manifest.json (import and export: OUT/)",
    read,
    lambda path, fields: (
        (path / MANIFEST if path.is_dir() else path).name == MANIFEST
        and manifest_of(path) is not None
    ),
)
