"""Reading one video file: open, map its packets, decode the frames that are wanted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np
from av.error import FFmpegError

from kinograd.video.faults import ClipError, ClipFault
from kinograd.video.index import Index, Run, build, plan

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.frame import VideoFrame

    from kinograd.config.video import VideoConfig

# Demuxers for single local files. Playlists (hls, dash, concat) are left out: a file
# named .mp4 must not be able to name other files or addresses.
_FORMATS = "mov,mp4,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,ogg,asf,gif,h264,hevc,m4v,ivf,obu"
_OPTIONS = {"protocol_whitelist": "file", "format_whitelist": _FORMATS}
# Packets of smaller files are kept from the mapping pass, so that a file is read once.
_KEEP_BYTES = 32 << 20
_ATTACHED_PICTURE = 0x400  # AV_DISPOSITION_ATTACHED_PIC: cover art, not video
_MIN_SIDE = 4


class Reader:
    """One open video file. ``label`` is the path as the data names it, for messages.

    Raises:
        ClipError: NOT_MEDIA, TRUNCATED, NO_VIDEO, UNSUPPORTED, TOO_LONG, TOO_MANY_PIXELS
            or TOO_SMALL, from the constructor; DAMAGED from ``frames``.
    """

    def __init__(self, file: Path, label: str, config: VideoConfig) -> None:
        self._file, self.label, self._config = file, label, config
        self._open()
        try:
            self._check_limits()
            self._packets: list[Packet] | None = None
            self.index = self._map()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._container.close()

    @property
    def rate(self) -> float:
        return self.index.rate

    @property
    def duration(self) -> float:
        return self.index.duration

    @property
    def frames(self) -> int:
        return self.index.frames

    @property
    def pixel_aspect(self) -> float:
        """Width of a pixel over its height."""
        aspect = self._stream.sample_aspect_ratio or self._codec.sample_aspect_ratio
        return float(aspect) if aspect else 1.0

    # ------------------------------------------------------------------ opening

    def _open(self) -> None:
        try:
            self._container = av.open(str(self._file), options=_OPTIONS)
        except FFmpegError as error:
            raise self._not_media(error) from None
        videos = [
            s for s in self._container.streams.video if not int(s.disposition) & _ATTACHED_PICTURE
        ]
        if not videos:
            self._container.close()
            raise ClipError(
                ClipFault.NO_VIDEO, self.label, "the file has no video stream (sound only?)"
            )
        self._stream = videos[0]
        self._codec = self._stream.codec_context
        if self._codec is None:
            self._container.close()
            raise ClipError(ClipFault.UNSUPPORTED, self.label, "no decoder for its video codec")
        self._codec.thread_type = "NONE"
        self._codec.thread_count = 1

    def _not_media(self, error: FFmpegError) -> ClipError:
        with open(self._file, "rb") as f:
            head = f.read(12)
        if head[4:8] == b"ftyp":
            return ClipError(
                ClipFault.TRUNCATED,
                self.label,
                "an mp4 whose index is missing or broken: an incomplete download or "
                f"recording; fetch it again ({error.strerror})",
            )
        return ClipError(
            ClipFault.NOT_MEDIA, self.label, f"not a video file that can be read ({error.strerror})"
        )

    def _check_limits(self) -> None:
        limit = self._config.max_source_pixels
        width, height = self._codec.width, self._codec.height
        if width * height > limit:
            raise ClipError(
                ClipFault.TOO_MANY_PIXELS,
                self.label,
                f"{width}x{height} exceeds video.max_source_pixels = {limit}",
            )
        if width < _MIN_SIDE or height < _MIN_SIDE:
            raise ClipError(
                ClipFault.TOO_SMALL,
                self.label,
                f"frames of {width}x{height} pixels show nothing (at least {_MIN_SIDE} a side)",
            )
        stream = self._stream
        if stream.duration and stream.time_base:
            self._check_duration(float(stream.duration * stream.time_base))

    def _check_duration(self, seconds: float) -> None:
        if seconds > self._config.max_duration_s:
            raise ClipError(
                ClipFault.TOO_LONG,
                self.label,
                f"{seconds:.0f} s exceed video.max_duration_s = {self._config.max_duration_s:.0f}",
            )

    # ------------------------------------------------------------------ mapping

    def _map(self) -> Index:
        """One pass over the packets; those of a small file are kept for decoding."""
        pts, key, visible, spans = [], [], [], []
        kept: list[Packet] | None = []
        size, broken = 0, False
        try:
            for packet in self._container.demux(self._stream):
                if not packet.size:
                    continue
                size += packet.size
                if kept is not None:
                    kept.append(packet)
                    if size > _KEEP_BYTES:
                        kept = None
                pts.append(packet.pts)
                key.append(packet.is_keyframe)
                visible.append(not packet.is_discard)
                spans.append(packet.duration or 0)
        except FFmpegError:
            broken = True
        self._packets = kept
        promised = self._stream.frames if "mp4" in self._container.format.name else 0
        index = build(
            pts,
            key,
            visible,
            spans,
            self._stream.time_base or Fraction(1, 1000),
            self._stream.average_rate,
            truncated=broken or len(pts) < promised,
        )
        if index is None:
            fault = ClipFault.TRUNCATED if broken or promised else ClipFault.NO_VIDEO
            raise ClipError(fault, self.label, "its video stream holds no frame")
        self._check_duration(index.duration)
        return index

    # ----------------------------------------------------------------- decoding

    def frames_at(self, places: Sequence[int]) -> Iterator[tuple[int, VideoFrame]]:
        """The frames at ``places`` (showing order), each with its place, ascending.

        Raises:
            ClipError: DAMAGED, with the second of the first frame that cannot be
                decoded without error.
        """
        index = self.index
        if not index.timed:
            yield from self._counted(sorted(set(places)))
            return
        ticks = index.pts[index.order()]
        for run in plan(index, places):
            found, bad = self._decode(run, skip=True)
            if len(found) < len(run.pts):
                # Entered at a picture that does not stand alone (an intra refresh, a
                # broken link), or a packet without a picture of its own: from the start
                # of the file, skipping nothing, it must work.
                found, bad = self._decode(Run(0, run.last, run.pts), skip=False)
            for wanted in run.pts:
                if wanted not in found:
                    raise self._damaged(wanted if bad is None else min(bad, wanted))
                yield int(np.searchsorted(ticks, wanted)), found[wanted]

    def _decode(self, run: Run, skip: bool) -> tuple[dict[int, VideoFrame], int | None]:
        """Frames of a run by pts up to the first damage, and where that lies.

        With ``skip`` frames that nothing refers to are not decoded unless wanted.
        Without it a wanted packet that yields no picture (VP8's hidden frames, second
        fields) shows the one before it, as a player does.
        """
        wanted = set(run.pts)
        found: dict[int, VideoFrame] = {}
        codec, mode, before = self._codec, "", None
        codec.flush_buffers()
        for packet in (*self._feed(run.first, run.last), None):
            need = "NONREF" if skip and packet and packet.pts not in wanted else "DEFAULT"
            if need != mode:
                codec.skip_frame = mode = need
            try:
                frames = codec.decode(packet)
            except FFmpegError:
                return found, packet.pts if packet else run.pts[-1]
            for frame in frames:
                if frame.is_corrupt:
                    return found, frame.pts
                if not skip and before is not None:
                    for pts in wanted - found.keys():
                        if before.pts < pts < frame.pts:
                            found[pts] = before
                if frame.pts in wanted:
                    found[frame.pts] = frame
                before = frame
        if not skip and before is not None:
            found |= {pts: before for pts in wanted - found.keys() if before.pts < pts}
        return found, None

    def _feed(self, first: int, last: int) -> Iterator[Packet]:
        if self._packets is not None:
            yield from self._packets[first : last + 1]
            return
        self._reopen()
        number = 0
        for packet in self._container.demux(self._stream):
            if packet.size:
                if first <= number <= last:
                    yield packet
                number += 1
            if number > last:
                return

    def _reopen(self) -> None:
        self.close()
        self._open()

    def _counted(self, places: Sequence[int]) -> Iterator[tuple[int, VideoFrame]]:
        """Without timestamps frames are counted from the start of the file."""
        wanted, number = set(places), 0
        self._codec.flush_buffers()
        self._codec.skip_frame = "DEFAULT"
        try:
            for packet in (*self._feed(0, len(self.index.visible)), None):
                for frame in self._codec.decode(packet):
                    if frame.is_corrupt:
                        raise self._damaged_at(number / self.index.rate)
                    if number in wanted:
                        yield number, frame
                    number += 1
        except FFmpegError:
            raise self._damaged_at(number / self.index.rate) from None
        if places and number <= places[-1]:
            raise self._damaged_at(number / self.index.rate)

    def _damaged(self, pts: int) -> ClipError:
        first = int(self.index.pts[self.index.visible].min())
        return self._damaged_at((pts - first) * float(self.index.time_base))

    def _damaged_at(self, seconds: float) -> ClipError:
        return ClipError(
            ClipFault.DAMAGED,
            self.label,
            "the video cannot be decoded without errors; fetch it again, or set "
            "video.on_damage: partial to use what comes before",
            seconds,
        )
