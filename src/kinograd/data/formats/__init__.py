"""The file formats that data comes in and goes out as: one registry."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from kinograd.data.formats import (
    annotations,
    hub,
    kinetics,
    kinograd,
    messages,
    parquet,
    tagged,
    video_r1,
)
from kinograd.data.formats.source import Format, Found, Written
from kinograd.types import DataError, UsageError

__all__ = ["FORMATS", "Format", "Found", "Written", "format_of", "guess", "read_any"]

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
    """The rows of a file, a sharded folder (or its manifest.json) or a hub data set.

    Args:
        format: a name in ``FORMATS``; ``auto`` guesses it.
        layout: where media lie, for the formats that have one.

    Raises:
        UsageError: an unknown format, or a layout for a format without.
        DataError: no such file, or no guess.
    """
    from kinograd.data.shards import manifest_of, read_shards

    path = Path(path)
    if format != "hub" and not path.exists():
        raise DataError(f"{path}: no such file")
    if format in ("auto", "kinograd", "parquet") and manifest_of(path) is not None:
        return read_shards(path)
    found = format_of(guess(path) if format == "auto" else format)
    if layout is None:
        return found.read(path)
    if found.layout is None:
        raise UsageError(f"the rows of {found.name} name their media; leave --layout out")
    return found.read(path, layout=layout)


def guess(path: Path) -> str:
    """The name of a file's format, from its name and its first row.

    Raises:
        DataError: nothing fits.
    """
    from kinograd.data.formats.source import found_rows
    from kinograd.data.rows import Row

    if path.is_dir():
        raise DataError(f"{path}: a folder without manifest.json; name a file in it")
    if path.suffix.lower() == ".csv":
        return "kinetics"
    first = next((r for r in found_rows(path) if isinstance(r, Row)), None)
    keys = set(first.value) if first is not None and isinstance(first.value, dict) else set()
    for name, fits in _SIGNS:
        if fits(keys):
            return "parquet" if name == "kinograd" and path.suffix == ".parquet" else name
    if path.suffix == ".json" and not _is_list(path):
        return "coin"
    raise DataError(
        f"{path}: no known format has rows like its first; say which with --format, one of "
        f"{', '.join(FORMATS)}"
    )


def _is_list(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(1 << 16).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[")
