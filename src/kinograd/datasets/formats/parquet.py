"""Parquet with the columns of a canonical row; read in row groups.

``media`` and ``extra`` are JSON text, because their shape differs from row to row; nested
columns are read as well. ``parquet_rows`` gives the rows of any parquet file.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kinograd.datasets.formats.source import (
    BadRow,
    Format,
    Found,
    JsonRow,
    Placed,
    Written,
    guarded,
)
from kinograd.datasets.jsonl import (
    each_once,
    example_from_json,
    example_to_json,
    parse_json,
)
from kinograd.datasets.rows import Reason, Rejected, Row
from kinograd.files import atomic_path
from kinograd.types import DataError, Example

_ROWS = 1024  # of a row group, and read at once
_TEXT = ("id", "kind", "question", "answer", "rationale", "source", "split", "media", "extra")


def parquet_rows(path: Path) -> Iterator[Row | Rejected]:
    """The rows of a parquet file as objects, ``file[index]``."""
    import pyarrow
    import pyarrow.parquet as pq

    index = 0
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=_ROWS):
                for value in batch.to_pylist():
                    yield Row(f"{path}[{index}]", value)
                    index += 1
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        detail = f"not readable parquet: {error}; the rest of the file could not be read"
        yield Rejected(f"{path}[{index}]", Reason.JSON, detail)


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
    """Nested columns hold null for every key that another row has."""
    if isinstance(value, dict):
        return {k: _without_nulls(v) for k, v in value.items() if v is not None}
    return [_without_nulls(v) for v in value] if isinstance(value, list) else value


def _dump(example: Example) -> JsonRow:
    row = example_to_json(example)
    texts = {k: json.dumps(row[k], ensure_ascii=False, allow_nan=False) for k in ("media", "extra")}
    return row | texts


def read(path: Path) -> Iterator[Placed]:
    return ((row.where, found(row)) for row in parquet_rows(path))


def found(row: Row | Rejected) -> Found:
    """One row with canonical columns."""
    return row if isinstance(row, Rejected) else guarded(row.where, lambda: _load(row.value))


@contextmanager
def row_writer(path: Path) -> Iterator[Callable[[Example], None]]:
    """A parquet file that takes one Example at a time."""
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
            held.append(_dump(example))
            if len(held) == _ROWS:
                flush()

        yield write_row
        flush()


def write(path: Path, examples: Iterable[Example]) -> Written:
    count = 0
    with atomic_path(path) as partial, row_writer(partial) as write_row:
        for count, example in enumerate(each_once(path, examples), start=1):  # noqa: B007
            write_row(example)
    return Written(count)


FORMAT = Format("parquet", "parquet with the columns of a canonical row", read, write)
