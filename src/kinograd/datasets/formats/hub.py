"""Data sets of the Hugging Face hub by name, or a local folder, through ``datasets``.

``owner/name?split=train&config=default&format=video_r1``: ``format`` says how a row reads;
without it rows have the columns of a canonical row. Rows are streamed; with HF_HUB_OFFLINE=1
they come from the local cache.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from kinograd.datasets.formats import parquet
from kinograd.datasets.formats.source import Placed, RowFormat, read_rows
from kinograd.datasets.rows import Row
from kinograd.types import UsageError

_OPTIONS = {"split", "config", "format"}


def read(path: Path, forms: Mapping[str, RowFormat]) -> Iterator[Placed]:
    """The rows of a data set.

    Raises:
        UsageError: ``datasets`` is not installed, has no such data set or split, or the
            format has no rows.
    """
    name, _, query = str(path).partition("?")
    options = dict(parse_qsl(query))
    if unknown := sorted(options.keys() - _OPTIONS):
        raise UsageError(f"{path}: unknown option {unknown[0]!r}; one of {sorted(_OPTIONS)}")
    form = options.get("format")
    if form is not None and form not in forms:
        raise UsageError(f"{path}: format {form!r} has no rows; one of {', '.join(forms)}")
    split = options.get("split", "train")
    rows = (
        Row(f"{name}[{i}]", row) for i, row in enumerate(_load(name, options.get("config"), split))
    )
    if form is None:
        return ((row.where, parquet.found(row)) for row in rows)
    return read_rows(rows, forms[form], f"{Path(name).name}-{split}")


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
