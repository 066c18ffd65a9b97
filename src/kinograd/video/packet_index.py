"""Packet index of a video file: when each frame is shown and where decoding can start.

One pass over the packets, without decoding, gives both. A plan over the index says which
packets to decode for the frames that are wanted: seek to a keyframe when that skips more than
it costs, continue otherwise. No decoder is used here; ``video_file`` carries the plan out.

"Decoding order" is the order of packets in the file, "showing order" that of the frames on
the screen; they differ where a codec predicts backwards.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from av.packet import Packet

# A seek drains and refills the decoder, which costs about as much as this many frames.
SEEK_FRAMES = 4
_NO_TIME = -(1 << 63)
_DEFAULT_RATE = 25.0


@dataclass(frozen=True)
class PacketIndex:
    """Packets of one video stream in decoding order, or its frames where they are counted.

    Attributes:
        pts: int64 (P,) presentation times in ticks.
        key: bool (P,): the container says that decoding can start here.
        visible: bool (P,): False for packets that an edit list hides, and for frames at the
            start that cannot be decoded.
        time_base: seconds of a tick.
        frames: visible frames.
        rate: nominal frames per second.
        duration: seconds, from the first frame's start to the last one's end.
        truncated_at: the second at which the file ends although it promises more.
        late_s: seconds at the start whose frames cannot be decoded.
        counted: the packets' times are absent or wrong. The arrays then hold the frames of a
            plain decode in showing order, and a frame is found by its number in it.
    """

    pts: np.ndarray
    key: np.ndarray
    visible: np.ndarray
    time_base: Fraction
    frames: int
    rate: float
    duration: float
    truncated_at: float | None = None
    late_s: float = 0.0
    counted: bool = False

    def order(self) -> np.ndarray:
        """Return int64 (frames,): packet numbers in showing order."""
        packets = np.flatnonzero(self.visible)
        return packets[np.argsort(self.pts[packets], kind="stable")]

    def shown(self) -> np.ndarray:
        """Return float64 (frames,): seconds at which each frame is shown, ascending from 0."""
        ticks = self.pts[self.order()]
        return (ticks - ticks[0]) * float(self.time_base)

    def starts_in_order(self) -> bool:
        """Return whether the first packet is a keyframe and no frame is shown before it."""
        return bool(self.key[0]) and int(self.pts[self.visible].min()) >= int(self.pts[0])

    def without_keys(self) -> PacketIndex:
        """Return the index with the start of the file as the only place to start decoding."""
        return replace(self, key=np.zeros_like(self.key))

    def until(self, seconds: float) -> PacketIndex:
        """Return the index without the frames shown at ``seconds`` or later."""
        keep = int(np.searchsorted(self.shown(), seconds - 1e-6))
        visible = np.zeros_like(self.visible)
        visible[self.order()[:keep]] = True
        return replace(self, visible=visible, frames=keep, duration=min(self.duration, seconds))


@dataclass(frozen=True)
class PacketRange:
    """Packets ``first..last``, which yield the frames shown at the ticks ``pts``."""

    first: int
    last: int
    pts: tuple[int, ...]


def on_screen(index: PacketIndex, shown: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Return int64: for each time the frame on screen, by its place in showing order.

    At a constant rate (every frame within half a frame of ``place / rate``) a time means the
    nearest frame, so that rounded times do not slip by one. At a variable rate it means the
    last frame shown by then; times may be a tick early, as containers round them.

    Args:
        shown: ``index.shown()``.
    """
    regular = np.abs(shown - np.arange(len(shown)) / index.rate).max() < 0.5 / index.rate
    slack = 0.5 / index.rate if regular else float(index.time_base) + 1e-6
    places = np.searchsorted(shown, times + slack, side="right") - 1
    return np.clip(places, 0, len(shown) - 1)


def plan(index: PacketIndex, places: Sequence[int]) -> list[PacketRange]:
    """Return ranges of packets that yield the frames at ``places`` (showing order)."""
    order = index.order()
    keys = np.flatnonzero(index.key)
    runs: list[PacketRange] = []
    for place in sorted(set(places)):
        packet = int(order[place])
        pts = int(index.pts[packet])
        start = _entry(index.pts, keys, packet)
        if runs and start <= runs[-1].last + SEEK_FRAMES:
            runs[-1] = PacketRange(runs[-1].first, max(runs[-1].last, packet), (*runs[-1].pts, pts))
        else:
            runs.append(PacketRange(start, packet, (pts,)))
    return runs


def _entry(pts: np.ndarray, keys: np.ndarray, packet: int) -> int:
    """Return the last keyframe from which the frame of ``packet`` can be decoded.

    A frame shown before a keyframe but stored after it (an open group of pictures)
    refers to the group before, so its entry is the keyframe before.
    """
    for k in keys[: np.searchsorted(keys, packet, side="right")][::-1]:
        if pts[k] <= pts[packet]:
            return int(k)
    return 0


class PacketCollector:
    """Collector of the packets of one stream, in decoding order, into a ``PacketIndex``."""

    def __init__(self, codec: str) -> None:
        self._codec = codec
        # arrays: a short file can list millions of packets
        self._pts, self._spans = array("q"), array("q")
        self._key, self._visible = bytearray(), bytearray()
        self._last_dts: int | None = None

    def __len__(self) -> int:
        return len(self._pts)

    def add(self, packet: Packet) -> None:
        """Append a packet."""
        self._pts.append(_NO_TIME if packet.pts is None else packet.pts)
        self._spans.append(packet.duration or 0)
        self._key.append(packet.is_keyframe)
        self._visible.append(not packet.is_discard and not _is_hidden(packet, self._codec))
        self._last_dts = packet.dts if packet.dts is not None else self._last_dts

    def index(
        self, time_base: Fraction, nominal_rate: Fraction | None, truncated: bool
    ) -> PacketIndex | None:
        """Return the index; None if no frame is visible.

        ``counted`` is set, and the times are made up, if the packets have no times or share
        one.

        Args:
            nominal_rate: the container's average rate; used if it accounts for the frames to
                within half a frame, else frames / duration is the rate.
            truncated: the file was cut off. Frames that lost a neighbour shown before them are
                left out then, so that what remains has no holes: a packet that was not read
                is shown no earlier than the last one was decoded.
        """
        pts, spans = np.array(self._pts), np.array(self._spans)
        key = np.array(self._key, dtype=bool)
        visible = np.array(self._visible, dtype=bool)
        known = pts[visible]
        timed = bool((known != _NO_TIME).all()) and len(np.unique(known)) == len(known)
        if truncated and timed and self._last_dts is not None:
            visible &= pts <= self._last_dts
        if not visible.any():
            return None
        nominal = float(nominal_rate) if nominal_rate else 0.0
        if timed:
            rate, duration = clock(pts[visible], spans[visible], time_base, nominal)
        else:
            rate = nominal or _DEFAULT_RATE
            pts, time_base = evenly(len(pts), rate)
            duration = int(visible.sum()) / rate
        end = duration if truncated else None
        frames = int(visible.sum())
        index = PacketIndex(pts, key, visible, time_base, frames, rate, duration, end)
        return index if timed else replace(index, counted=True)


def _is_hidden(packet: Packet, codec: str) -> bool:
    """Return whether a packet of VP8 or VP9 holds only a picture that others refer to."""
    if codec not in ("vp8", "vp9"):
        return False
    data = memoryview(packet)
    if codec == "vp8":
        return not data[0] & 0x10  # show_frame
    if data[-1] & 0xE0 == 0xC0:  # a superframe, whose last picture is shown
        return False
    shown = 0x05 if data[0] & 0x30 == 0x30 else 0x0A  # show_existing_frame or show_frame
    return not data[0] & shown


def evenly(frames: int, rate: float) -> tuple[np.ndarray, Fraction]:
    """Return times in ticks, and the seconds of a tick, of frames at a constant rate."""
    return np.arange(frames), 1 / Fraction(rate).limit_denominator(100_000)


def clock(
    ticks: np.ndarray, spans: np.ndarray, time_base: Fraction, nominal: float
) -> tuple[float, float]:
    """Return (rate, duration) of frames shown at ``ticks``; ``nominal`` is 0 if unknown."""
    exact = _duration(ticks, spans, time_base)
    if nominal and abs(len(ticks) / nominal - exact) <= 0.5 / nominal + float(time_base):
        return nominal, len(ticks) / nominal
    return len(ticks) / exact, exact


def _duration(ticks: np.ndarray, spans: np.ndarray, time_base: Fraction) -> float:
    """Return the seconds from the first frame's start to the last one's end."""
    last = int(np.argmax(ticks))
    span = int(spans[last])
    if span <= 0:  # unknown: the last frame lasts as long as the typical one
        gaps = np.diff(np.sort(ticks))
        span = int(np.median(gaps)) if len(gaps) else 1
    return float((int(ticks[last]) - int(ticks.min()) + span) * time_base)
