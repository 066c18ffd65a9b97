"""Data sets of the Hugging Face hub by name, or a local folder, through ``datasets``.

``owner/name?split=train&config=default&format=video_r1``: ``format`` says how a row is read;
without it rows have the columns of a canonical row. Rows are streamed; with HF_HUB_OFFLINE=1
they come from the local cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from kinograd.config.data_formats import FORMAT_MODULES
from kinograd.datasets.formats import find_format
from kinograd.datasets.formats.base import Format, located_examples
from kinograd.datasets.formats.parquet import canonical_example
from kinograd.datasets.rows import LocatedRow, RawRow
from kinograd.types import UsageError

_OPTIONS = {"split", "config", "format"}


def read(path: Path) -> Iterator[LocatedRow]:
    """Yield the rows of a data set.

    Raises:
        UsageError: ``datasets`` is not installed, has no such data set or split, or the rows
            of the format are not JSON objects.
    """
    name, _, query = str(path).partition("?")
    options = dict(parse_qsl(query))
    if unknown := sorted(options.keys() - _OPTIONS):
        raise UsageError(f"{path}: unknown option {unknown[0]!r}; one of {sorted(_OPTIONS)}")
    form = options.get("format")
    row_format = find_format(form).rows if form in FORMAT_MODULES else None
    if form is not None and row_format is None:
        raise UsageError(f"{path}: format {form!r} has no rows that a data set can hold")
    split = options.get("split", "train")
    rows = (
        RawRow(f"{name}[{i}]", row)
        for i, row in enumerate(_load(name, options.get("config"), split))
    )
    if row_format is None:
        return ((row.where, canonical_example(row)) for row in rows)
    return located_examples(rows, row_format, f"{Path(name).name}-{split}")


def _load(name: str, subset: str | None, split: str) -> Iterator[Any]:
    try:
        from datasets import config as settings
        from datasets import load_dataset
        from datasets.exceptions import DatasetsError
    except ImportError:
        raise UsageError(
            "data sets of the hub need datasets: pip install 'kinograd[hub]'"
        ) from None
    offline = settings.HF_HUB_OFFLINE and not Path(name).exists()
    try:
        # the cache of downloaded data sets cannot be streamed, but is mapped, not loaded
        found = load_dataset(name, subset, split=split, streaming=not offline)
    except (DatasetsError, OSError, ValueError) as error:
        raise UsageError(f"{name}, split {split!r}: {error}") from None
    for column, feature in (found.features or {}).items():
        if type(feature).__name__ in ("Video", "Image", "Audio"):
            found = found.cast_column(column, type(feature)(decode=False))
    return iter(found)


FORMAT = Format(
    "hub",
    "a data set of the Hugging Face hub, OWNER/NAME?split=train&format=video_r1",
    read,
    lambda path, fields: False,  # a name, no file
)
