"""Drawing surface for the frames of one clip, at the size that its first frame sets."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from kinograd.video.scale import Orientation, Scaler

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

# Sources whose aspect ratios differ by less fill the frame; others get black bars.
_SAME_SHAPE = 0.02


class Canvas:
    """Surface that turns, scales and places decoded frames.

    The first drawn frame decides: ``size_of(height, width)`` of its display size gives
    the clip's (height, width). Later sources of another shape keep their aspect ratio
    and are centred on black, as in a rendered video.

    Raises:
        whatever ``size_of`` raises.
    """

    def __init__(self, size_of: Callable[[int, int], tuple[int, int]], scaler: Scaler) -> None:
        self._size_of, self._scaler = size_of, scaler
        self._source: tuple[int, int] | None = None
        self.size: tuple[int, int] | None = None

    def draw(self, frame: VideoFrame, pixel_aspect: float) -> np.ndarray:
        """Return the frame as (3, H, W) uint8 at the clip's size.

        Args:
            pixel_aspect: width of a stored pixel over its height.
        """
        turn = Orientation.of(frame)
        shown = (frame.height, max(1, round(frame.width * pixel_aspect)))
        if turn.transpose:
            shown = (shown[1], shown[0])
        if self.size is None or self._source is None:
            self._source, self.size = shown, self._size_of(*shown)
        inner = _fit(shown, self._source, self.size)
        stored = (inner[1], inner[0]) if turn.transpose else inner
        drawn = turn.apply(self._scaler.rgb(frame, *stored))
        if inner == self.size:
            return drawn
        out = np.zeros((3, *self.size), dtype=np.uint8)
        top, left = (self.size[0] - inner[0]) // 2, (self.size[1] - inner[1]) // 2
        out[:, top : top + inner[0], left : left + inner[1]] = drawn
        return out


def _fit(shown: tuple[int, int], first: tuple[int, int], size: tuple[int, int]) -> tuple[int, int]:
    """Return (height, width) of a ``shown`` frame in a clip of shape ``first`` at ``size``."""
    ratio = shown[1] / shown[0] / (first[1] / first[0])
    if abs(ratio - 1) <= _SAME_SHAPE:
        return size
    if ratio > 1:  # wider than the clip: bars above and below
        return max(1, round(size[0] / ratio)), size[1]
    return size[0], max(1, round(size[1] * ratio))
