"""Data files for people to look at."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def export(
    examples: Annotated[Path, typer.Argument(help="JSONL file of Examples.")],
    render: Annotated[Path, typer.Option(help="Folder for one mp4 per video.")],
    media_root: Annotated[Path, typer.Option(help="Folder under which media lie.")] = Path("."),
    limit: Annotated[int | None, typer.Option(help="Only the first N examples.")] = None,
) -> None:
    """Write the cuts of a data file as mp4, to look at them."""
    from kinograd.config.video import VideoConfig
    from kinograd.data.jsonl import read_examples
    from kinograd.progress import progress
    from kinograd.types import MediaType
    from kinograd.video.render import render as write

    chosen = read_examples(examples)[:limit]
    render.mkdir(parents=True, exist_ok=True)
    with progress(len(chosen), "rendering") as bar:
        for example in chosen:
            videos = [m for m in example.media if m.type is MediaType.VIDEO]
            for number, medium in enumerate(videos):
                suffix = f"-{number}" if len(videos) > 1 else ""
                write(
                    medium,
                    render / f"{_file_name(example.id)}{suffix}.mp4",
                    VideoConfig(),
                    media_root,
                )
            bar.advance()


def _file_name(name: str) -> str:
    """An example's id as a file name that cannot leave its folder."""
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in name).lstrip(".") or "_"
