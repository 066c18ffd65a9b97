"""Clips of data files as films, to look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kinograd.types import Example, Media

_GIF_FPS, _GIF_PIXELS = 8.0, 320 * 240


def write_clips(
    examples: Sequence[Example],
    folder: Path,
    media_root: Path,
    form: str = "mp4",
    named: Path = Path(),
) -> tuple[list[Example], list[str]]:
    """One file per video of every example, named after the example's id.

    Args:
        form: ``mp4``, or ``gif``: small, opens anywhere.
        named: ``folder`` as rows name it.

    Returns:
        The examples with these files in place of their cuts, and what could not be decoded:
        a line for each such example, which is not among them.
    """
    from kinograd.config.video import VideoConfig
    from kinograd.progress import progress
    from kinograd.types import Cut, MediaType
    from kinograd.video.faults import ClipError
    from kinograd.video.render import render

    folder.mkdir(parents=True, exist_ok=True)
    filmed: list[Example] = []
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
                    if (file := folder / f"{name}.{form}") in used:
                        file = folder / f"{name}-{len(used)}.{form}"
                    used.add(file)
                    if form == "gif":
                        _write_gif(medium, file, media_root)
                    else:
                        render(medium, file, VideoConfig(), media_root)
                    media.append(replace(medium, cut=Cut.whole((named / file.name).as_posix())))
                filmed.append(replace(example, media=tuple(media)))
            except ClipError as error:
                faults.append(f"{example.id}: {error}")
            bar.advance()
    return filmed, faults


def refuse(faults: Sequence[str]) -> None:
    """Raise a KinogradError that tells what could not be rendered, if there is any."""
    from kinograd.types import KinogradError

    if faults:
        raise KinogradError("\n".join([f"{len(faults)} clips cannot be rendered:", *faults[:20]]))


def _write_gif(medium: Media, out: Path, media_root: Path) -> None:
    from PIL import Image

    from kinograd.config.video import VideoConfig
    from kinograd.files import atomic_path
    from kinograd.types import VideoSpec
    from kinograd.video.decode import decode

    spec = VideoSpec(
        fps=_GIF_FPS,
        min_frames=2,
        max_frames=2400,
        min_pixels=1,
        max_pixels=_GIF_PIXELS,
        frame_factor=1,
        size_factor=2,
    )
    clip = decode(medium, spec, VideoConfig(), media_root)
    first, *rest = (Image.fromarray(frame.transpose(1, 2, 0)) for frame in clip.frames)
    with atomic_path(out) as partial:
        pause = round(1000 / clip.fps)
        first.save(partial, "GIF", save_all=True, append_images=rest, duration=pause, loop=0)


def _file_name(name: str) -> str:
    """An example's id as a file name that cannot leave its folder."""
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in name).lstrip(".") or "_"
