"""One open video file: its limits, the packets of its video stream, and their decoder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Self, cast

import av
import numpy as np
from av.error import FFmpegError

from kinograd.video.faults import ClipError, ClipFault

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

    from kinograd.config.video import VideoConfig
    from kinograd.video.packet_index import PacketIndex

# Demuxers for single local files. Playlists (hls, dash, concat) are left out: a file
# named .mp4 must not be able to name other files or addresses.
_FORMATS = "mov,mp4,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,ogg,asf,gif,h264,hevc,m4v,ivf,obu"
_OPTIONS = {"protocol_whitelist": "file", "format_whitelist": _FORMATS}
_ATTACHED_PICTURE = 0x400  # AV_DISPOSITION_ATTACHED_PIC: cover art, not video
_MIN_SIDE = 4


class OpenVideo:
    """An open file with its packets in decoding order and its decoder.

    Raises:
        ClipError: NOT_MEDIA, TRUNCATED, NO_VIDEO, UNSUPPORTED, TOO_LONG, TOO_MANY_PIXELS or
            TOO_SMALL.
    """

    index: PacketIndex

    def __init__(self, file: Path, label: str, config: VideoConfig) -> None:
        self._file, self.label, self._config = file, label, config
        self._packets: list[Packet] | None = None  # of a small file, once it was mapped
        self._open()
        try:
            self._check_limits()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._container.close()

    @property
    def pixel_aspect(self) -> float:
        """Return the width of a pixel over its height."""
        aspect = self._stream.sample_aspect_ratio or self._codec.sample_aspect_ratio
        return float(aspect) if aspect else 1.0

    # ------------------------------------------------------------------ opening

    def _open(self) -> None:
        try:
            # titles of old videos are in old encodings, and of no interest here
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

    # ------------------------------------------------------------------ packets

    def _feed(self, first: int, last: int | None) -> Iterator[Packet]:
        """Yield packets ``first..last``: from memory, by seeking, or by reading up to them."""
        stop = None if last is None else last + 1
        if self._packets is not None:
            yield from self._packets[first:stop]
            return
        start, packets = self._enter(first)
        yield from islice(packets, first - start, None if stop is None else stop - start)

    def _enter(self, wanted: int) -> tuple[int, Iterator[Packet]]:
        """Return the number of a packet at or before ``wanted``, and the packets from it on."""
        if wanted:
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
        """Yield the stream's packets, up to the first that cannot be read."""
        try:
            yield from (p for p in self._container.demux(self._stream) if p.size)
        except FFmpegError:
            return

    def _plain_decode(self, first: int = 0) -> Iterator[VideoFrame]:
        """Yield all frames from the packet ``first`` on, in the decoder's order.

        Raises:
            FFmpegError: a packet cannot be decoded.
        """
        codec = self._codec
        codec.flush_buffers()
        codec.skip_frame = "DEFAULT"
        for packet in chain(self._feed(first, None), (None,)):
            yield from codec.decode(packet)
