"""Video file with random access to its frames."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from av.error import FFmpegError
from av.video.frame import PictureType

from kinograd.video.faults import ClipError, ClipFault
from kinograd.video.open_file import OpenVideo
from kinograd.video.packet_index import (
    PacketCollector,
    PacketIndex,
    PacketRange,
    clock,
    evenly,
    plan,
)

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.frame import VideoFrame

    from kinograd.config.video import VideoConfig

# PacketCollector of smaller files are kept from the mapping pass, so that a file is read once.
KEEP_BYTES = 32 << 20
# Decoders that heed, packet by packet, the wish to skip it. (libdav1d, for one,
# reads that wish only when it is opened.)
_SKIPPING = {"h264", "hevc", "mpeg4", "mpeg2video", "vp9"}
# Codecs whose packets always are in showing order; dav1d's delay is no reordering.
_NEVER_REORDERED = {"libdav1d", "av1", "vp8", "vp9", "libvpx", "libvpx-vp9"}
# A day at 48 frames per second. More is no video, and would fill the memory.
_MAX_PACKETS = 1 << 22
_KEEP_PACKETS = 1 << 16
# Containers round their length, and the last packet's duration is not always known.
_SLACK_S = 0.3


class VideoFile(OpenVideo):
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
        super().__init__(file, label, config)
        try:
            self.index = self._map() if index is None else index
            self._check_duration(self.index.duration)
        except BaseException:
            self.close()
            raise

    # ------------------------------------------------------------------ mapping

    def _map(self) -> PacketIndex:
        """Return the index from one pass over the packets; those of a small file are kept."""
        found = PacketCollector(self._codec.name)
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
                    kept = kept if size <= KEEP_BYTES and len(kept) <= _KEEP_PACKETS else None
                found.add(packet)
                if len(found) > _MAX_PACKETS:
                    why = f"it lists more than {_MAX_PACKETS:,} pictures; convert it"
                    raise self._fault(ClipFault.TOO_LONG, why)
        except FFmpegError:
            broken = True
        self._packets = kept
        truncated = broken or self._falls_short(len(found), end)
        time_base = self._stream.time_base or Fraction(1, 1000)
        index = found.index(time_base, self._stream.average_rate, truncated)
        if index is None:
            reason = ClipFault.TRUNCATED if truncated else ClipFault.NO_VIDEO
            raise self._fault(reason, "its video stream holds no frame")
        if index.counted or self._has_decoding_times_only(index):
            return self._counted(index)
        if not index.starts_in_order():
            with suppress(FFmpegError):  # damage, which is reported where it is decoded
                return self._without_lost_start(index)
        return index

    def _has_decoding_times_only(self, index: PacketIndex) -> bool:
        """Return whether packet times are those of decoding, although the codec reorders frames.

        AVI and ASF store no other. Elsewhere it shows: with true presentation times some
        packet would be shown before the one in front of it.
        """
        if not self._codec.has_b_frames or self._codec.name in _NEVER_REORDERED:
            return False
        ascending = index.frames > 1 and bool((np.diff(index.pts[index.visible]) > 0).all())
        return ascending or self._container.format.name in ("avi", "asf")

    def _counted(self, index: PacketIndex) -> PacketIndex:
        """Return an index of the frames of a plain decode, in its order.

        The times are the decoder's if each frame has its own, else those of a constant rate.
        After a fault frames are assumed as the packets announce them.
        """
        times: list[int | None] = []
        with suppress(FFmpegError):
            for frame in self._plain_decode():
                if frame.is_corrupt:
                    break
                times.append(None if index.counted else frame.pts)
            else:
                index = replace(index, frames=len(times))
        frames = max(index.frames, len(times))
        if not frames:
            raise self._fault(ClipFault.DAMAGED, "none of its frames can be decoded")
        known = {t for t in times if t is not None}
        if len(known) == frames:
            pts, time_base = np.array(sorted(known), dtype=np.int64), index.time_base
            rate, duration = clock(pts, np.zeros_like(pts), time_base, index.rate)
        else:
            (pts, time_base), rate = evenly(frames, index.rate), index.rate
            duration = frames / rate
        return PacketIndex(
            pts,
            np.zeros(frames, dtype=bool),
            np.ones(frames, dtype=bool),
            time_base,
            frames,
            rate,
            duration,
            None if index.truncated_at is None else duration,
            counted=True,
        )

    def _without_lost_start(self, index: PacketIndex) -> PacketIndex:
        """Return the index without the frames at the start whose references are not in the file.

        A stream that was cut without encoding it again begins with them. Frames in front of
        the first intra picture are lost if they are stored before it, or if the decoder,
        which knows what they refer to, leaves them out.
        """
        entries = (f for f in self._plain_decode() if _is_intra(f))
        entry = next((f.pts for f in entries if not f.is_corrupt), None)
        found = np.flatnonzero(index.pts == entry)
        if entry is None or len(found) != 1:
            return index
        before: list[int] = []
        for frame in self._plain_decode(int(found[0])):
            if frame.pts is None or frame.pts >= entry:
                break
            if not frame.is_corrupt:
                before.append(frame.pts)
        behind = np.arange(len(index.pts)) > found[0]
        seen = np.isin(index.pts, before) & behind
        visible = index.visible & ((index.pts >= entry) | seen)
        ticks, spans = index.pts[visible], np.zeros(int(visible.sum()), dtype=np.int64)
        lost = float((int(ticks.min()) - int(index.pts[index.visible].min())) * index.time_base)
        if not lost:
            return index
        rate, duration = clock(ticks, spans, index.time_base, index.rate)
        return replace(
            index,
            visible=visible,
            frames=len(ticks),
            rate=rate,
            duration=duration,
            truncated_at=None if index.truncated_at is None else duration,
            late_s=lost,
        )

    def _falls_short(self, packets: int, end: float) -> bool:
        """Return whether the file holds less than its header promises.

        Only some headers promise: mp4 and its kin list their packets (less those that an
        edit list drops), Matroska and AVI give the length in seconds of their longest
        stream; where that starts late, some muxers (FFmpeg's) count from zero and some
        from the start, so only a file that is too short by both counts was cut off.
        Elsewhere a file that was cut off looks like a shorter one.
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
        """Yield the frames at ``places`` (showing order), each with its place.

        Ascending, but for frames that a second attempt had to find.

        Raises:
            ClipError: DAMAGED, with the second of the first fault met on the way.
        """
        index = self.index
        if index.counted:
            yield from self._counted_frames(set(places))
            return
        order = index.order()
        place_of = {int(index.pts[order[p]]): p for p in places}
        missing = set(place_of)
        skip = self._codec.name in _SKIPPING
        for run in plan(index, places):
            entered = yield from self._decode(run, missing, place_of, skip)
            if not entered:  # the container's keyframes are none
                self.index = index.without_keys()
                break
        if missing:
            # A packet without a picture of its own, a false keyframe, or damage: from the
            # start of the file, skipping nothing, what can be decoded is.
            last = int(max(np.flatnonzero(np.isin(index.pts, list(missing)))))
            bad = yield from self._decode_all(last, missing, place_of)
            if missing:
                raise self._damaged(min(missing) if bad is None else min(bad, *missing))

    def _counted_frames(self, missing: set[int]) -> Iterator[tuple[int, VideoFrame]]:
        number = 0
        with suppress(FFmpegError):
            for number, frame in enumerate(self._plain_decode()):
                if frame.is_corrupt:
                    break
                if number in missing:
                    missing.discard(number)
                    yield number, frame
                if not missing:
                    return
        if missing:
            raise self._damaged(int(self.index.pts[min(number + 1, *missing)]))

    def _decode(
        self, run: PacketRange, missing: set[int], place_of: dict[int, int], skip: bool
    ) -> Generator[tuple[int, VideoFrame], None, bool]:
        """Yield wanted frames of a range, take them out of ``missing``; stop at a fault.

        With ``skip`` frames that nothing refers to are not decoded unless wanted.

        Returns:
            False if the range begins with a packet that is no picture on its own.
        """
        codec, mode = self._codec, ""
        entry = int(self.index.pts[run.first])
        entered = run.first == 0
        wanted = missing.intersection(run.pts)
        codec.flush_buffers()
        for packet in chain(self._feed(run.first, run.last), (None,)):
            need = "NONREF" if skip and packet and packet.pts not in wanted else "DEFAULT"
            if need != mode:
                codec.skip_frame = mode = need
            try:
                frames = codec.decode(packet)
            except FFmpegError:
                return entered
            for frame in frames:
                pts = frame.pts
                if not entered and pts == entry:
                    if not _is_intra(frame):
                        return False
                    entered = True
                if not entered and pts is not None and pts < entry:
                    continue  # it refers to what lies before the entry
                if frame.is_corrupt or pts is None or not entered:
                    return entered
                if pts in wanted:
                    wanted.discard(pts)
                    missing.discard(pts)
                    yield place_of[pts], frame
                if not wanted:
                    return True
        return entered

    def _decode_all(
        self, last: int, missing: set[int], place_of: dict[int, int]
    ) -> Generator[tuple[int, VideoFrame], None, int | None]:
        """Yield wanted frames of a plain decode; return the time of the first fault, if any.

        A wanted packet that yields no picture (hidden frames of VP8, second fields) shows
        the one a frame's time before it, as a player does.
        """
        start = int(self.index.pts[self.index.visible].min())
        before: tuple[int, VideoFrame] | None = None
        codec = self._codec
        codec.flush_buffers()
        codec.skip_frame = "DEFAULT"
        for packet in chain(self._feed(0, last), (None,)):
            try:
                frames = codec.decode(packet)
            except FFmpegError:
                if packet is None or packet.pts is None or packet.pts >= start:
                    return max(missing) if packet is None else packet.pts
                continue
            for frame in frames:
                pts = frame.pts
                if pts is None or (frame.is_corrupt and pts >= start):
                    return pts
                if before is not None:
                    yield from self._hold(before, pts, missing, place_of)
                if pts in missing:
                    missing.discard(pts)
                    yield place_of[pts], frame
                if not missing:
                    return None
                before = pts, frame
        if before is not None:
            yield from self._hold(before, None, missing, place_of)
        return None

    def _hold(
        self,
        shown: tuple[int, VideoFrame],
        until: int | None,
        missing: set[int],
        place_of: dict[int, int],
    ) -> Iterator[tuple[int, VideoFrame]]:
        """Yield a frame for missing times at which it is on screen, one frame's time at most."""
        pts, frame = shown
        end = pts + 1.5 / (self.index.rate * float(self.index.time_base))
        end = end if until is None else min(until, end)
        for time in sorted(t for t in missing if pts < t < end):
            missing.discard(time)
            yield place_of[time], frame

    def _damaged(self, pts: int) -> ClipError:
        index = self.index
        seconds = (pts - int(index.pts[index.visible].min())) * float(index.time_base)
        why = (
            "the video cannot be decoded without errors; fetch it again, or set "
            "video.on_damage: partial to use what comes before"
        )
        return self._fault(ClipFault.DAMAGED, why, max(0.0, seconds))


def _is_intra(frame: VideoFrame) -> bool:
    return frame.key_frame and frame.pict_type in (PictureType.I, PictureType.NONE)


def _end(packet: Packet) -> float:
    """Return the second at which a packet's content ends, as far as it says."""
    shown = packet.pts if packet.pts is not None else packet.dts
    if shown is None or not packet.time_base:
        return 0.0
    return float((shown + (packet.duration or 0)) * packet.time_base)
