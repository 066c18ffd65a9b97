"""Clips of examples as mp4 files, to look at or for tools that read only files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from kinograd.config.video import VideoConfig
from kinograd.progress import progress
from kinograd.types import Cut, Example, Media, MediaType
from kinograd.video.faults import ClipError
from kinograd.video.render import render


def write_clips(
    examples: Sequence[Example], folder: Path, media_root: Path, named: Path = Path()
) -> tuple[list[Example], list[str]]:
    """Write one mp4 per video of every example, named after the example's id.

    Args:
        named: ``folder`` as rows name it.

    Returns:
        The examples with these files in place of their cuts, and a line for each example whose
        clip cannot be decoded; it is not among them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rendered: list[Example] = []
    faults: list[str] = []
    used: set[Path] = set()
    with progress(len(examples), "rendering") as bar:
        for example in examples:
            media: list[Media] = []
            try:
                for number, medium in enumerate(example.media):
                    if medium.type is MediaType.IMAGE:
                        media.append(medium)
                        continue
                    suffix = f"-{number}" if len(example.media) > 1 else ""
                    name = f"{_file_name(example.id)}{suffix}"
                    if (file := folder / f"{name}.mp4") in used:
                        file = folder / f"{name}-{len(used)}.mp4"
                    used.add(file)
                    render(medium, file, VideoConfig(), media_root)
                    media.append(replace(medium, cut=Cut.whole((named / file.name).as_posix())))
                rendered.append(replace(example, media=tuple(media)))
            except ClipError as error:
                faults.append(f"{example.id}: {error}")
            bar.advance()
    return rendered, faults


def _file_name(name: str) -> str:
    """Return an example's id as a file name that cannot leave its folder."""
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in name).lstrip(".") or "_"
