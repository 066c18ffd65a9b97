"""Reading one video file: open, map its packets, decode the frames that are wanted."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, cast

import av
import numpy as np
from av.error import FFmpegError

from kinograd.video.faults import ClipError, ClipFault
from kinograd.video.packet_index import PacketCollector, PacketIndex, PacketRange, plan

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

    from kinograd.config.video import VideoConfig

# Demuxers for single local files. Playlists (hls, dash, concat) are left out: a file
# named .mp4 must not be able to name other files or addresses.
_FORMATS = "mov,mp4,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,ogg,asf,gif,h264,hevc,m4v,ivf,obu"
_OPTIONS = {"protocol_whitelist": "file", "format_whitelist": _FORMATS}
# PacketCollector of smaller files are kept from the mapping pass, so that a file is read once.
KEEP_BYTES = 32 << 20
# Decoders that can be told anew for each packet whether to skip it. (libdav1d, for one,
# reads that wish only when it is opened.)
_SKIPPING = {"h264", "hevc", "mpeg4", "mpeg2video", "vp9"}
_ATTACHED_PICTURE = 0x400  # AV_DISPOSITION_ATTACHED_PIC: cover art, not video
_MIN_SIDE = 4
# Containers round their length, and the last packet's duration is not always known.
_SLACK_S = 0.3


class VideoFile:
    """One open video file.

    Args:
        file: what ``paths.resolve`` gave.
        label: the path as the data names it, for messages.
        index: the file's map if known from an earlier reading.

    Raises:
        ClipError: NOT_MEDIA, TRUNCATED, NO_VIDEO, UNSUPPORTED, TOO_LONG, TOO_MANY_PIXELS
            or TOO_SMALL from the constructor, DAMAGED from ``frames_at``.
    """

    def __init__(
        self, file: Path, label: str, config: VideoConfig, index: PacketIndex | None = None
    ) -> None:
        self._file, self.label, self._config = file, label, config
        self._packets: list[Packet] | None = None
        self._open()
        try:
            self._check_limits()
            self.index = self._map() if index is None else index
            self._check_duration(self.index.duration)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> VideoFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._container.close()

    @property
    def pixel_aspect(self) -> float:
        """Width of a pixel over its height."""
        aspect = self._stream.sample_aspect_ratio or self._codec.sample_aspect_ratio
        return float(aspect) if aspect else 1.0

    # ------------------------------------------------------------------ opening

    def _open(self) -> None:
        try:
            # titles of old films are in old encodings, and of no interest here
            self._container = av.open(str(self._file), options=_OPTIONS, metadata_errors="replace")
        except FFmpegError as error:
            raise self._not_media(error) from None
        stream = cast("VideoStream | None", self._container.streams.best("video"))
        if stream is None or int(stream.disposition) & _ATTACHED_PICTURE:
            self._container.close()
            raise self._fault(ClipFault.NO_VIDEO, "no video stream (sound only?)")
        if stream.codec_context is None:
            self._container.close()
            raise self._fault(
                ClipFault.UNSUPPORTED, "no decoder for its codec; convert it to H.264"
            )
        self._stream, self._codec = stream, stream.codec_context
        self._codec.thread_type = "NONE"
        self._codec.thread_count = 1
        # also where the header says less than the stream turns out to hold
        self._codec.options = {"max_pixels": str(self._config.max_source_pixels)}

    def _not_media(self, error: FFmpegError) -> ClipError:
        with open(self._file, "rb") as f:
            head = f.read(12)
        if head[4:8] == b"ftyp":
            return self._fault(
                ClipFault.TRUNCATED,
                "an mp4 without a readable index: an incomplete download or recording; "
                f"fetch it again ({error.strerror})",
            )
        why = f"not a video file that can be read ({error.strerror})"
        return self._fault(ClipFault.NOT_MEDIA, why)

    def _fault(self, reason: ClipFault, detail: str, at_seconds: float | None = None) -> ClipError:
        return ClipError(reason, self.label, detail, at_seconds)

    def _check_limits(self) -> None:
        width, height, most = self._codec.width, self._codec.height, self._config.max_source_pixels
        if not width or not height:
            why = "its frames' size is unknown; convert it to H.264"
            raise self._fault(ClipFault.UNSUPPORTED, why)
        if width * height > most:
            why = f"frames of {width}x{height} exceed video.max_source_pixels = {most}"
            raise self._fault(ClipFault.TOO_MANY_PIXELS, why)
        if min(width, height) < _MIN_SIDE:
            why = f"frames of {width}x{height} pixels show nothing (at least {_MIN_SIDE} a side)"
            raise self._fault(ClipFault.TOO_SMALL, why)
        stream = self._stream
        if stream.duration and stream.time_base:
            self._check_duration(float(stream.duration * stream.time_base))

    def _check_duration(self, seconds: float) -> None:
        if seconds > (longest := self._config.max_duration_s):
            why = f"{seconds:.0f} s exceed video.max_duration_s = {longest:.0f}"
            raise self._fault(ClipFault.TOO_LONG, why)

    # ------------------------------------------------------------------ mapping

    def _map(self) -> PacketIndex:
        """One pass over the packets; those of a small file are kept for decoding."""
        found = PacketCollector()
        kept: list[Packet] | None = []
        size, broken, end = 0, False, 0.0
        try:
            for packet in self._container.demux():
                if not packet.size:
                    continue
                end = max(end, _end(packet))
                if packet.stream is not self._stream:
                    continue
                size += packet.size
                if kept is not None:
                    kept.append(packet)
                    kept = kept if size <= KEEP_BYTES else None
                found.add(packet)
        except FFmpegError:
            broken = True
        self._packets = kept
        truncated = broken or self._falls_short(len(found), end)
        time_base = self._stream.time_base or Fraction(1, 1000)
        index = found.index(time_base, self._stream.average_rate, truncated)
        if index is None:
            reason = ClipFault.TRUNCATED if truncated else ClipFault.NO_VIDEO
            raise self._fault(reason, "its video stream holds no frame")
        return index

    def _falls_short(self, packets: int, end: float) -> bool:
        """Whether the file holds less than its header promises.

        Only some headers promise: mp4 and its kin list their packets (less those that an
        edit list drops), Matroska and AVI give the length in seconds of their longest
        stream; where that starts late, some muxers (FFmpeg's) count from zero and some
        from the start, so only a file that is too short by both counts was cut off.
        Elsewhere a file that was cut off cannot be told from a shorter one.
        """
        names = set(self._container.format.name.split(","))
        if "mp4" in names:
            return packets < len(self._stream.index_entries)
        if names & {"matroska", "avi"} and self._container.duration:
            rate = float(self._stream.average_rate or 25)
            return end < self._container.duration / 1e6 - _SLACK_S - 2 / rate
        return False

    # ----------------------------------------------------------------- decoding

    def frames_at(self, places: Sequence[int]) -> Iterator[tuple[int, VideoFrame]]:
        """The frames at ``places`` (showing order), each with its place.

        Ascending, but for frames that a second attempt had to find.

        Raises:
            ClipError: DAMAGED, with the second of the first fault met on the way.
        """
        index = self.index
        if index.timed:
            order = index.order()
            place_of = {int(index.pts[order[p]]): p for p in places}
            runs = plan(index, places)
        else:  # frames are counted from the start of the file
            place_of = {p: p for p in sorted(places)}
            runs = [PacketRange(0, len(index.visible), tuple(place_of))]
        skip = index.timed and self._codec.name in _SKIPPING
        for run in runs:
            missing = set(run.pts)
            bad = yield from self._decode(run, missing, place_of, skip, held=False)
            if missing and index.timed:
                # Entered at a picture that does not stand alone (an intra refresh, a
                # broken link), or a packet without a picture of its own: from the start
                # of the file, skipping nothing, it must work.
                whole = PacketRange(0, run.last, run.pts)
                bad = yield from self._decode(whole, missing, place_of, False, held=True)
            if missing:
                raise self._damaged(min(missing) if bad is None else min(bad, *missing))

    def _decode(
        self, run: PacketRange, missing: set[int], place_of: dict[int, int], skip: bool, held: bool
    ) -> Generator[tuple[int, VideoFrame], None, int | None]:
        """Yields frames of a run, takes them out of ``missing``; returns the first fault.

        A stream without timestamps has the frames' numbers in their stead.
        With ``skip`` frames that nothing refers to are not decoded unless wanted. With
        ``held`` a wanted packet that yields no picture (VP8's hidden frames, second
        fields) shows the one a frame's time before it, as a player does.
        """
        codec, timed, mode, number = self._codec, self.index.timed, "", 0
        before: tuple[int, VideoFrame] | None = None
        codec.flush_buffers()
        for packet in chain(self._feed(run.first, run.last), (None,)):
            need = "NONREF" if skip and packet and packet.pts not in missing else "DEFAULT"
            if need != mode:
                codec.skip_frame = mode = need
            try:
                frames = codec.decode(packet)
            except FFmpegError:
                return number if not timed else packet.pts if packet else run.pts[-1]
            for frame in frames:
                pts = frame.pts if timed else number
                number += 1
                if frame.is_corrupt or pts is None:
                    return pts
                if held and before is not None:
                    yield from self._hold(before, pts, missing, place_of)
                if pts in missing:
                    missing.discard(pts)
                    yield place_of[pts], frame
                if not missing:
                    return None
                before = pts, frame
        if held and before is not None:
            yield from self._hold(before, None, missing, place_of)
        return None

    def _hold(
        self,
        shown: tuple[int, VideoFrame],
        until: int | None,
        missing: set[int],
        place_of: dict[int, int],
    ) -> Iterator[tuple[int, VideoFrame]]:
        """A frame for the missing times at which it is still on screen, one frame's at most."""
        pts, frame = shown
        end = pts + 1.5 / (self.index.rate * float(self.index.time_base))
        end = end if until is None else min(until, end)
        for time in sorted(t for t in missing if pts < t < end):
            missing.discard(time)
            yield place_of[time], frame

    def _feed(self, first: int, last: int) -> Iterator[Packet]:
        """PacketCollector ``first..last``: from memory, by seeking, or by reading up to them."""
        if self._packets is not None:
            yield from self._packets[first : last + 1]
            return
        start, packets = self._enter(first)
        yield from islice(packets, first - start, last - start + 1)

    def _enter(self, wanted: int) -> tuple[int, Iterator[Packet]]:
        """The packets from a place at or before ``wanted`` on, and the number of the first."""
        if wanted and self.index.timed:
            with suppress(FFmpegError):
                self._container.seek(int(self.index.pts[wanted]), stream=self._stream)
                packets = self._demux()
                landed = list(islice(packets, 1))
                found = [np.flatnonzero(self.index.pts == p.pts) for p in landed]
                if found and len(found[0]) == 1 and found[0][0] <= wanted:
                    return int(found[0][0]), chain(landed, packets)
        self.close()
        self._open()
        return 0, self._demux()

    def _demux(self) -> Iterator[Packet]:
        """The stream's packets, up to the first that cannot be read: then frames miss."""
        try:
            yield from (p for p in self._container.demux(self._stream) if p.size)
        except FFmpegError:
            return

    def _damaged(self, pts: int) -> ClipError:
        index = self.index
        if index.timed:
            seconds = (pts - int(index.pts[index.visible].min())) * float(index.time_base)
        else:
            seconds = pts / index.rate
        why = (
            "the video cannot be decoded without errors; fetch it again, or set "
            "video.on_damage: partial to use what comes before"
        )
        return self._fault(ClipFault.DAMAGED, why, max(0.0, seconds))


def _end(packet: Packet) -> float:
    """The second at which a packet's content is over, as far as it says."""
    shown = packet.pts if packet.pts is not None else packet.dts
    if shown is None or not packet.time_base:
        return 0.0
    return float((shown + (packet.duration or 0)) * packet.time_base)
