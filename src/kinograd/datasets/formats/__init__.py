"""The file formats that data comes in and goes out as: one registry."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from kinograd.datasets.formats import (
    annotations,
    hub,
    kinetics,
    kinograd,
    messages,
    parquet,
    tagged,
    video_r1,
)
from kinograd.datasets.formats.source import Format, Found, Placed, Written, unique
from kinograd.types import DataError, UsageError

__all__ = ["FORMATS", "Format", "Found", "Written", "format_of", "guess", "read_any", "read_placed"]

_FILES = (
    kinograd.FORMAT,
    video_r1.FORMAT,
    *tagged.FORMATS,
    annotations.FORMAT,
    kinetics.FORMAT,
    messages.FORMAT,
    parquet.FORMAT,
)
_ROWS = {f.name: f.rows for f in _FILES if f.rows is not None}
FORMATS: dict[str, Format] = {
    **{f.name: f for f in _FILES},
    "hub": Format(
        "hub",
        "a data set of the Hugging Face hub, OWNER/NAME?split=train&format=video_r1",
        partial(hub.read, forms=_ROWS),
        None,
    ),
}
"""By name; ``about`` is one line for people."""

# What only this format's rows have; the first that fits is it.
_SIGNS: tuple[tuple[str, Callable[[set[str]], bool]], ...] = (
    ("kinograd", lambda keys: {"question", "kind", "media"} <= keys),
    ("video_r1", lambda keys: {"problem_id", "problem_type"} <= keys),
    ("vidbridge", lambda keys: {"problem", "solution", "problem_type"} <= keys),
    ("dvd_counting", lambda keys: "video_filename" in keys),
    ("open_r1_video", lambda keys: {"problem", "solution", "video"} <= keys),
    ("llava_swift", lambda keys: {"query", "response", "videos"} <= keys),
    ("messages", lambda keys: "messages" in keys),
)


def format_of(name: str) -> Format:
    """A format by name.

    Raises:
        UsageError: there is none.
    """
    if name not in FORMATS:
        raise UsageError(f"unknown format {name!r}; one of auto, {', '.join(FORMATS)}")
    return FORMATS[name]


def read_any(path: str | Path, format: str = "auto", layout: str | None = None) -> Iterator[Found]:
    """The rows of ``read_placed``; later rows of an id are rejected."""
    return (row for _, row in unique(read_placed(path, format, layout)))


def read_placed(
    path: str | Path, format: str = "auto", layout: str | None = None
) -> Iterator[Placed]:
    """The rows of a file, a sharded folder (or its manifest.json) or a hub data set.

    Args:
        format: a name in ``FORMATS``; ``auto`` guesses it.
        layout: where media lie, for the formats that have one.

    Raises:
        UsageError: an unknown format, or a layout for a format without.
        DataError: no such file, or no guess; at the end, if there were no rows.
    """
    from kinograd.datasets.formats.shards import manifest_of, read_shards

    path = Path(path)
    if format != "hub" and not path.exists():
        raise DataError(f"{path}: no such file")
    if format in ("auto", "kinograd", "parquet") and manifest_of(path) is not None:
        return _some(path, read_shards(path))
    found = format_of(guess(path) if format == "auto" else format)
    if layout is None:
        return _some(path, found.read(path))
    if found.layout is None:
        raise UsageError(f"the rows of {found.name} name their media; leave --layout out")
    return _some(path, found.read(path, layout=layout))


def _some(path: Path, rows: Iterator[Placed]) -> Iterator[Placed]:
    empty = True
    for row in rows:
        yield row
        empty = False
    if empty:
        raise DataError(f"{path}: holds no rows")


def guess(path: Path) -> str:
    """The name of a file's format, from its name and its first row.

    Raises:
        DataError: nothing fits.
    """
    from kinograd.datasets.formats.source import found_rows
    from kinograd.datasets.rows import Rejected, Row

    if path.is_dir():
        raise DataError(f"{path}: a folder without manifest.json; name a file in it")
    if path.suffix.lower() == ".csv":
        return "kinetics"
    keys: set[str] = set()
    fault = None
    for row in found_rows(path):
        fault = fault or f"{row.where}: {row.detail}" if isinstance(row, Rejected) else ""
        if isinstance(row, Row):
            keys = set(row.value) if isinstance(row.value, dict) else set()
            break
    if fault is None:
        raise DataError(f"{path}: holds no rows")
    for name, fits in _SIGNS:
        if fits(keys):
            return "parquet" if name == "kinograd" and path.suffix == ".parquet" else name
    if path.suffix == ".json" and not _is_list(path):
        return "coin"
    raise DataError(
        f"{fault or path}: no known format has rows like the first; say which with --format, one "
        f"of {', '.join(FORMATS)}"
    )


def _is_list(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(1 << 16).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[")
