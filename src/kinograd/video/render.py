"""Rendering of a cut to an mp4 file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kinograd.files import atomic_path
from kinograd.types import Media
from kinograd.video.canvas import Canvas
from kinograd.video.cut import Timeline, validate_cut
from kinograd.video.decode import wanted
from kinograd.video.index_cache import open_video
from kinograd.video.scale import Scaler

if TYPE_CHECKING:
    from kinograd.config.video import VideoConfig
    from kinograd.video.video_file import VideoFile


def render(
    media: Media, out: str | Path, config: VideoConfig, media_root: str | Path, crf: int = 16
) -> Timeline:
    """Write ``media`` as H.264 in mp4, at its first source's size (made even) and rate.

    Sampling the file gives the frames that sampling the cut gives, within codec error.

    Args:
        crf: x264's quality; lower is better and larger.

    Raises:
        ClipError: as ``decode``; nothing is left at ``out`` then.
    """
    import av

    with atomic_path(Path(out)) as partial:
        with ExitStack() as stack:
            readers = {
                path: stack.enter_context(open_video(path, config, media_root))
                for path in media.cut.paths
            }
            maps = {path: reader.index for path, reader in readers.items()}
            line = validate_cut(media.cut, maps, config.max_duration_s)
            rate = Fraction(line.rate).limit_denominator(100_000)
            container = stack.enter_context(av.open(str(partial), "w", format="mp4"))
            stream = container.add_stream("libx264", rate=rate, options={"crf": str(crf)})
            stream.pix_fmt = "yuv420p"
            for number, frame in enumerate(_frames(line, readers)):
                if number == 0:
                    stream.height, stream.width = frame.shape[1:]
                picture = av.VideoFrame.from_ndarray(
                    np.ascontiguousarray(frame.transpose(1, 2, 0)), format="rgb24"
                )
                picture.pts, picture.time_base = number, 1 / rate
                container.mux(stream.encode(picture))
            container.mux(stream.encode(None))
    return line


def _frames(line: Timeline, readers: dict[str, VideoFile]) -> Iterator[np.ndarray]:
    """Yield (3, H, W) uint8 of every frame of the timeline, in order."""
    times = np.arange(line.frames) / line.rate
    numbers = np.array([n for n, _ in line.locate(times)])
    canvas = Canvas(_even, Scaler("bicubic"))
    first = next(iter(readers.values()))  # sets the size, even where black comes before it
    for _, picture in first.frames_at([0]):
        canvas.draw(picture, first.pixel_aspect)
    assert canvas.size is not None
    black = np.zeros((3, *canvas.size), dtype=np.uint8)
    for number, piece in enumerate(line.pieces):
        mine = times[numbers == number]
        if piece.path is None:
            yield from (black for _ in mine)
            continue
        reader = readers[piece.path]
        places = wanted(line, mine, readers)[piece.path] if len(mine) else {}
        drawn: dict[int, np.ndarray] = {}
        due = 0
        for place, picture in reader.frames_at(list(places)):
            image = canvas.draw(picture, reader.pixel_aspect)
            drawn |= dict.fromkeys(places[place], image)
            while due in drawn:
                yield drawn.pop(due)
                due += 1


def _even(height: int, width: int) -> tuple[int, int]:
    return max(2, height // 2 * 2), max(2, width // 2 * 2)
