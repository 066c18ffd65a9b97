"""Parquet with the columns of a canonical row; read in row groups.

``media`` and ``extra`` are JSON text, because their shape differs from row to row; nested
columns are read as well.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kinograd.datasets.formats.base import Format, JsonRow, Written, checked
from kinograd.datasets.jsonl import example_from_json, example_to_json, with_unique_ids
from kinograd.datasets.raw_rows import parquet_rows
from kinograd.datasets.rows import BadRow, LocatedRow, RawRow, Reason, Rejected, RowResult
from kinograd.datasets.strict_json import parse_json
from kinograd.files import atomic_path
from kinograd.types import DataError, Example

_ROWS = 1024  # of a row group
_TEXT = ("id", "kind", "question", "answer", "rationale", "source", "split", "media", "extra")


def read(path: Path) -> Iterator[LocatedRow]:
    """Yield the rows of a file with their places."""
    for row in parquet_rows(path):
        yield row.where, row if isinstance(row, Rejected) else canonical_example(row)


def canonical_example(row: RawRow) -> RowResult:
    """Return the Example of a row with canonical columns, or why there is none."""
    return checked(row.where, lambda: _load(row.value))


def _load(row: Any) -> Example:
    if not isinstance(row, dict):
        raise BadRow(Reason.SCHEMA, "a row must have named columns")
    for key in ("media", "extra"):
        if isinstance(row.get(key), str):
            try:
                row = row | {key: parse_json(row[key].encode())}
            except (DataError, UnicodeEncodeError) as error:
                raise BadRow(Reason.JSON, f"{key}: {error}") from None
    plain = {key: value for key, value in row.items() if value is not None}
    return example_from_json(plain | {"media": _without_nulls(plain.get("media"))})


def _without_nulls(value: Any) -> Any:
    """Drop the nulls that nested columns hold for every key that another row has."""
    if isinstance(value, dict):
        return {k: _without_nulls(v) for k, v in value.items() if v is not None}
    return [_without_nulls(v) for v in value] if isinstance(value, list) else value


@contextmanager
def row_writer(path: Path) -> Iterator[Callable[[Example], None]]:
    """Open a parquet file that takes one Example at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = [(name, pa.string()) for name in _TEXT]
    schema = pa.schema([*columns, ("options", pa.list_(pa.string()))])
    held: list[JsonRow] = []
    with pq.ParquetWriter(path, schema) as writer:

        def flush() -> None:
            writer.write_batch(pa.RecordBatch.from_pylist(held, schema=schema))
            held.clear()

        def write_row(example: Example) -> None:
            row = example_to_json(example)
            for key in ("media", "extra"):
                row[key] = json.dumps(row[key], ensure_ascii=False, allow_nan=False)
            held.append(row)
            if len(held) == _ROWS:
                flush()

        yield write_row
        flush()


def write(path: Path, examples: Iterable[Example]) -> Written:
    """Write Examples to a file that appears complete or not at all."""
    count = 0
    with atomic_path(path) as partial, row_writer(partial) as write_row:
        for count, example in enumerate(with_unique_ids(path, examples), start=1):  # noqa: B007
            write_row(example)
    return Written(count)


def fits(path: Path, fields: set[str]) -> bool:
    """Return whether the fields are those of canonical rows."""
    return path.suffix == ".parquet" and {"question", "kind", "media"} <= fields


FORMAT = Format("parquet", "parquet with the columns of a canonical row", read, fits, write)
