"""Canonical JSONL, row by row: a bad row is rejected and the next one read."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from kinograd.datasets.formats.base import Format, Written
from kinograd.datasets.jsonl import read_lines, write_examples
from kinograd.types import Example


def write(path: Path, examples: Iterable[Example]) -> Written:
    """Write Examples as canonical JSONL."""
    return Written(write_examples(path, examples))


def fits(path: Path, fields: set[str]) -> bool:
    """Return whether the fields are those of canonical rows."""
    return path.suffix != ".parquet" and {"question", "kind", "media"} <= fields


FORMAT = Format("kinograd", "canonical JSONL, one Example per line", read_lines, fits, write)
