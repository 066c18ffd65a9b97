"""The names of the file formats of data, and the module of ``datasets.formats`` for each."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Annotated, Any

from pydantic import AfterValidator, Field

FORMAT_MODULES = {
    "kinograd": "kinograd",
    "video_r1": "video_r1",
    "vidbridge": "tagged",
    "dvd_counting": "tagged",
    "open_r1_video": "tagged",
    "llava_swift": "tagged",
    "messages": "messages",
    "kinetics": "kinetics",
    "coin": "annotations",
    "parquet": "parquet",
    "hub": "hub",
}
"""Format to module, in the order in which ``auto`` tries them on a file's first row."""


def _known(name: str) -> str:
    known = ["auto", *FORMAT_MODULES]
    if name not in known:
        near = get_close_matches(name, known, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"unknown format {name!r}, not one of {', '.join(known)}{hint}")
    return name


_NAMES: dict[str, Any] = {"enum": ["auto", *FORMAT_MODULES]}
DataFormat = Annotated[str, AfterValidator(_known), Field(json_schema_extra=_NAMES)]
"""The name of a format, or ``auto``: guessed from a file's name and first row."""
