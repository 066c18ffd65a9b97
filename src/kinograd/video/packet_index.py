"""The map of a video file: when each frame is shown and where decoding can start.

One pass over the packets, without decoding, gives both. From it a plan says which packets
to decode for the frames that are wanted: seek to a keyframe when that skips more than it
costs, carry on otherwise. Pure; ``reader`` executes the plan.

"Decoding order" is the order of packets in the file, "showing order" that of the frames
on the screen; they differ where a codec predicts backwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from av.packet import Packet

# A seek drains and refills the decoder, which costs about as much as this many frames.
SEEK_FRAMES = 4


@dataclass(frozen=True)
class PacketIndex:
    """The packets of one video stream, in decoding order.

    Attributes:
        pts: int64 (P,) presentation times in ticks; empty when the container gives
            none, and then frames are counted instead of timed.
        key: bool (P,): decoding can start here.
        visible: bool (P,): False for packets that an edit list hides.
        time_base: seconds of a tick.
        frames: visible frames.
        rate: nominal frames per second.
        duration: seconds, from the first frame's start to the last one's end.
        truncated_at: the second at which the file ends although it promises more.
    """

    pts: np.ndarray
    key: np.ndarray
    visible: np.ndarray
    time_base: Fraction
    frames: int
    rate: float
    duration: float
    truncated_at: float | None = None

    @property
    def timed(self) -> bool:
        return len(self.pts) > 0

    def order(self) -> np.ndarray:
        """int64 (frames,): packet numbers in showing order."""
        packets = np.flatnonzero(self.visible)
        if not self.timed:
            return packets
        return packets[np.argsort(self.pts[packets], kind="stable")]

    def shown(self) -> np.ndarray:
        """float64 (frames,): when each frame is shown, ascending, the first at 0 s."""
        if not self.timed:
            return np.arange(self.frames) / self.rate
        ticks = self.pts[self.order()]
        return (ticks - ticks[0]) * float(self.time_base)

    def until(self, seconds: float) -> PacketIndex:
        """The same map without the frames shown at ``seconds`` or later."""
        keep = int(np.searchsorted(self.shown(), seconds - 1e-6))
        visible = np.zeros_like(self.visible)
        visible[self.order()[:keep]] = True
        return replace(self, visible=visible, frames=keep, duration=min(self.duration, seconds))


@dataclass(frozen=True)
class PacketRange:
    """PacketCollector ``first..last`` that yield the frames shown at the ticks ``pts``."""

    first: int
    last: int
    pts: tuple[int, ...]


def nearest_shown(shown: np.ndarray, times: np.ndarray, rate: float) -> np.ndarray:
    """int64: for each time the frame on screen, by its place in showing order.

    The last frame that begins no later than half a nominal frame after the time: for a
    constant rate this rounds to the nearest frame, so that rounded timestamps do not
    slip; for a variable rate a held frame stays until the next one.
    """
    places = np.searchsorted(shown, times + 0.5 / rate, side="right") - 1
    return np.clip(places, 0, len(shown) - 1)


def plan(index: PacketIndex, places: Sequence[int]) -> list[PacketRange]:
    """Runs of packets that yield the frames at ``places`` (showing order)."""
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
    """The last keyframe from which the frame of ``packet`` can be decoded.

    A frame shown before a keyframe but stored after it (an open group of pictures)
    refers to the group before, so its entry is the keyframe before.
    """
    for k in keys[: np.searchsorted(keys, packet, side="right")][::-1]:
        if pts[k] <= pts[packet]:
            return int(k)
    return 0


class PacketCollector:
    """Collects the packets of one stream, in decoding order, into an PacketIndex."""

    def __init__(self) -> None:
        self._rows: list[tuple[int | None, bool, bool, int]] = []
        self._last_dts: int | None = None

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, packet: Packet) -> None:
        visible, span = not packet.is_discard, packet.duration or 0
        self._rows.append((packet.pts, packet.is_keyframe, visible, span))
        self._last_dts = packet.dts if packet.dts is not None else self._last_dts

    def index(
        self, time_base: Fraction, nominal_rate: Fraction | None, truncated: bool
    ) -> PacketIndex | None:
        """The PacketIndex; None if no frame is visible.

        Args:
            nominal_rate: the container's average rate; used if it accounts for the
                frames to within half a frame, else frames / duration is the rate.
            truncated: the file was cut off. Then frames that lost a neighbour shown
                before them are left out, so that what remains has no holes: a packet
                that was not read is shown no earlier than the last one was decoded.
        """
        if not self._rows:
            return None
        times, *rest = zip(*self._rows, strict=True)
        key, visible, spans = map(np.array, rest)
        rate = float(nominal_rate) if nominal_rate else 0.0
        known = [t for t, v in zip(times, visible, strict=True) if v and t is not None]
        timed = len(known) == visible.sum() and len(set(known)) == len(known)
        pts = np.array([t or 0 for t in times] if timed else [], dtype=np.int64)
        if truncated and timed and self._last_dts is not None:
            visible &= pts <= self._last_dts
        frames = int(visible.sum())
        if not frames:
            return None
        duration = frames / (rate or 25.0)
        if timed:
            exact = _duration(pts[visible], spans[visible], time_base)
            if not rate or abs(duration - exact) > 0.5 / rate + float(time_base):
                rate, duration = frames / exact, exact
        end = duration if truncated else None
        return PacketIndex(pts, key, visible, time_base, frames, rate or 25.0, duration, end)


def _duration(ticks: np.ndarray, spans: np.ndarray, time_base: Fraction) -> float:
    """Seconds from the first frame's start to the last one's end."""
    last = int(np.argmax(ticks))
    span = int(spans[last])
    if span <= 0:  # unknown: the last frame lasts as long as the typical one
        gaps = np.diff(np.sort(ticks))
        span = int(np.median(gaps)) if len(gaps) else 1
    return float((int(ticks[last]) - int(ticks.min()) + span) * time_base)
