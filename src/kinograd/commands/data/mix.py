"""``kinograd data mix``: one file out of several, by weight."""

from __future__ import annotations

from typing import Annotated

import typer
from pydantic import Field

from kinograd.commands.settings import Out, check_inputs, read_settings, split_words
from kinograd.curate.mix import mix, parse_source
from kinograd.section import Positive, Section


class Settings(Section):
    """Settings of ``data mix``."""

    rows: Positive | None = None
    """Number of rows; null takes as many as the weights allow."""
    temperature: float = Field(default=1.0, gt=0)
    """Without weights: p ~ n^(1/T); 1 mixes by size, larger values more evenly."""
    seed: int = 0
    """Seed of the order."""
    repeat: bool = False
    """Go through a source again when it is used up."""
    prefix: bool = False
    """Put the file's name before every id."""


def run(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE[=WEIGHT][@CAP]... [KEY=VALUE...]",
            help="Canonical JSONL files, a.jsonl=0.5 b.jsonl=0.3@2000; settings, listed above.",
        ),
    ],
    out: Out,
) -> None:
    """Mix files by weight, in an order that depends on the seed alone."""
    inputs, recipes, given = split_words(words)
    check_inputs([*inputs, *recipes], 1, None)
    settings = read_settings(Settings, given)
    sources = [parse_source(text) for text in [*inputs, *recipes]]
    parts = mix(sources, out, **settings.model_dump())
    total = sum(part.rows for part in parts)
    print(f"{out}: {total} rows")
    for part in parts:
        again = f", {part.rows / part.held:.2f} times each" if part.rows > part.held else ""
        print(f"  {part.rows / total:6.1%}  {part.rows} of {part.held}  {part.path}{again}")
