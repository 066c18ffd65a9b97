"""Names of the file formats of data, and the module of ``datasets.formats`` for each."""

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
    "shards": "shards",
    "hub": "hub",
}
"""Format to module, in the order in which ``auto`` tries them on a file's first row."""


RECIPE_FORMATS = [name for name in FORMAT_MODULES if name not in ("shards", "hub")]
"""Formats of the files that a recipe may name; of a sharded folder it names the manifest."""
_ANY = ["auto", *FORMAT_MODULES]


def _one_of(names: list[str]) -> Any:
    def check(name: str) -> str:
        if name not in names:
            near = get_close_matches(name, names, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"unknown format {name!r}, not one of {', '.join(names)}{hint}")
        return name

    return AfterValidator(check)


DataFormat = Annotated[str, _one_of(_ANY), Field(json_schema_extra={"enum": [*_ANY]})]
"""Name of a format, or ``auto``: guessed from a file's name and first row."""
RecipeFormat = Annotated[
    str, _one_of(RECIPE_FORMATS), Field(json_schema_extra={"enum": [*RECIPE_FORMATS]})
]
