"""Decoding of a medium into a Clip: the only place where this project reads pixels."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from av.error import FFmpegError

from kinograd.types import Clip, Cut, Media, MediaType, VideoSpec
from kinograd.video.canvas import Canvas
from kinograd.video.cut import Timeline, validate_cut
from kinograd.video.faults import ClipError, ClipFault
from kinograd.video.images import clip_from_frames, clip_from_image, image_clip
from kinograd.video.index_cache import open_video
from kinograd.video.packet_index import PacketIndex, on_screen
from kinograd.video.paths import resolve
from kinograd.video.sample import frame_size, sample
from kinograd.video.scale import Scaler

if TYPE_CHECKING:
    from kinograd.config.video import VideoConfig
    from kinograd.video.video_file import VideoFile

__all__ = ["ClipError", "ClipFault", "clip_from_frames", "clip_from_image", "decode", "probe"]

# Part of every cache key: raise it whenever the same input gives other pixels.
DECODER_VERSION = 2


def probe(path: str, config: VideoConfig, media_root: str | Path) -> PacketIndex:
    """Return the packet index of one video under ``media_root``: rate, frames, duration.

    Raises:
        ClipError: if it cannot be read or breaks a limit of ``config``.
    """
    with open_video(path, config, media_root) as reader:
        return reader.index


def decode(media: Media, spec: VideoSpec, config: VideoConfig, media_root: str | Path) -> Clip:
    """Return the Clip of ``media`` under ``spec``.

    Raises:
        ClipError: with the fault, the path and, where it has one, the second.
    """
    scaler = Scaler(spec.resample, config.resize == "torch")
    if media.type is MediaType.IMAGE:
        path = media.cut.paths[0]
        file = resolve(path, media_root, config)
        return image_clip(file, path, spec, scaler, config.max_source_pixels)
    with ExitStack() as stack:
        readers = {
            path: stack.enter_context(open_video(path, config, media_root))
            for path in media.cut.paths
        }
        try:
            return _decode_cut(media.cut, readers, spec, scaler, config)
        except FFmpegError as error:  # an exotic pixel format
            why = f"its frames cannot be converted ({error.strerror}); convert it to H.264"
            raise ClipError(ClipFault.UNSUPPORTED, media.cut.paths[0], why) from None


def _decode_cut(
    cut: Cut, readers: dict[str, VideoFile], spec: VideoSpec, scaler: Scaler, config: VideoConfig
) -> Clip:
    """Decode a cut; with ``on_damage: partial`` the clip ends before the first damage met.

    Only a whole file is ever shortened: a cut of several segments that lost one would
    mean something else.
    """
    shorten = config.on_damage == "partial" and cut == Cut.whole(cut.paths[0])
    damage = next((e for r in readers.values() if (e := _truncation(r))), None)
    if damage and not shorten:
        raise damage
    while True:
        try:
            maps = {path: reader.index for path, reader in readers.items()}
            line = validate_cut(cut, maps, config.max_duration_s)
            clip = _sampled(cut, line, readers, spec, scaler)
        except ClipError as error:
            if damage and error.reason is ClipFault.TOO_FEW_FRAMES:
                raise damage from None  # too little is left: say why
            if not shorten or error.reason is not ClipFault.DAMAGED or not error.at_seconds:
                raise
            reader = readers[error.path]
            if error.at_seconds >= reader.index.duration:  # shortened to there already, in vain
                raise
            damage = error
            reader.index = reader.index.until(error.at_seconds)
        else:
            late = max(reader.index.late_s for reader in readers.values())
            missing = f"its first {late:.2f} s cannot be decoded" if late else None
            return replace(clip, damaged=damage.place() if damage else missing)


def _truncation(reader: VideoFile) -> ClipError | None:
    if reader.index.truncated_at is None:
        return None
    why = (
        "the file ends before its time; fetch it again, or set video.on_damage: partial to "
        "use what is there"
    )
    return ClipError(ClipFault.TRUNCATED, reader.label, why, reader.index.truncated_at)


def _sampled(
    cut: Cut, line: Timeline, readers: Mapping[str, VideoFile], spec: VideoSpec, scaler: Scaler
) -> Clip:
    try:
        indices, times = sample(line.duration, line.rate, line.frames, spec)
    except ValueError as error:
        raise ClipError(ClipFault.TOO_FEW_FRAMES, cut.paths[0], str(error)) from None
    n = len(indices)

    def size_of(height: int, width: int) -> tuple[int, int]:
        try:
            return frame_size(height, width, n, spec)
        except ValueError as error:
            raise ClipError(ClipFault.ASPECT, cut.paths[0], f"{error}; drop the clip") from None

    canvas, frames = Canvas(size_of, scaler), None
    by_path = wanted(line, times, readers)
    for path in cut.paths:  # in order of first use: the first source sets the size
        reader, places = readers[path], by_path.get(path, {})
        for place, picture in reader.frames_at(list(places)):
            drawn = canvas.draw(picture, reader.pixel_aspect)
            if frames is None:  # what is not drawn stays black
                frames = np.zeros((n, *drawn.shape), dtype=np.uint8)
            frames[places[place]] = drawn
    if frames is None:
        why = "none of the sampled frames shows a source"
        raise ClipError(ClipFault.BAD_CUT, cut.paths[0], why)
    return Clip(frames, times, line.rate, n / line.duration, line.duration)


def wanted(
    line: Timeline, times: np.ndarray, readers: Mapping[str, VideoFile]
) -> dict[str, dict[int, list[int]]]:
    """Return per source: frame (place in showing order) -> positions in ``times`` that show it."""
    shown = {path: reader.index.shown() for path, reader in readers.items()}
    located = line.locate(times)
    out: dict[str, dict[int, list[int]]] = {}
    for path, reader in readers.items():
        here = [i for i, (number, _) in enumerate(located) if line.pieces[number].path == path]
        seconds = np.array([located[i][1] for i in here])
        nearest = on_screen(reader.index, shown[path], seconds)
        for position, place in zip(here, nearest, strict=True):
            piece = line.pieces[located[position][0]]
            inside = _inside(shown[path], int(place), piece.start, piece.end, reader.index.rate)
            out.setdefault(path, {}).setdefault(inside, []).append(position)
    return out


def _inside(shown: np.ndarray, place: int, start: float, end: float, rate: float) -> int:
    """Return the frame to show for ``place``, kept inside the half-open [start, end).

    A frame from across a segment's edge is not shown where the segment has one of its own
    within a frame's time: the black of DarkEventInfer must not leak what it hides.
    """
    slack = 1e-6
    if place and shown[place] >= end - slack:
        place -= 1
    if shown[place] < start - slack and place + 1 < len(shown):
        following = shown[place + 1]
        if following < min(end - slack, start + 1.0 / rate):
            place += 1
    return place
