"""Clips of data files as films, to look at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kinograd.types import Example, Media

_GIF_FPS, _GIF_PIXELS = 8.0, 320 * 240


def write_clips(
    examples: Sequence[Example], folder: Path, media_root: Path, form: str = "mp4"
) -> None:
    """One file per video of every example, named after the example's id.

    Args:
        form: ``mp4``, or ``gif``: small, opens anywhere.

    Raises:
        KinogradError: some clips cannot be decoded; the others are written.
    """
    from kinograd.config.video import VideoConfig
    from kinograd.progress import progress
    from kinograd.types import KinogradError, MediaType
    from kinograd.video.faults import ClipError
    from kinograd.video.render import render

    folder.mkdir(parents=True, exist_ok=True)
    faults: list[str] = []
    with progress(len(examples), "rendering") as bar:
        for example in examples:
            videos = [m for m in example.media if m.type is MediaType.VIDEO]
            for number, medium in enumerate(videos):
                suffix = f"-{number}" if len(videos) > 1 else ""
                file = folder / f"{_file_name(example.id)}{suffix}.{form}"
                try:
                    if form == "gif":
                        _write_gif(medium, file, media_root)
                    else:
                        render(medium, file, VideoConfig(), media_root)
                except ClipError as error:
                    faults.append(f"{example.id}: {error}")
            bar.advance()
    if faults:
        raise KinogradError("\n".join([f"{len(faults)} clips cannot be rendered:", *faults[:20]]))


def _write_gif(medium: Media, out: Path, media_root: Path) -> None:
    from PIL import Image

    from kinograd.config.video import VideoConfig
    from kinograd.records import replacing
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
    with replacing(out) as partial:
        first.save(
            partial,
            "GIF",
            save_all=True,
            append_images=rest,
            duration=round(1000 / clip.fps),
            loop=0,
        )


def _file_name(name: str) -> str:
    """An example's id as a file name that cannot leave its folder."""
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in name).lstrip(".") or "_"
