"""From a decoder's frame to 8-bit planar RGB at the final size."""

from __future__ import annotations

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter

_KERNELS = {
    "bicubic": Interpolation.BICUBIC,
    "bilinear": Interpolation.BILINEAR,
    "area": Interpolation.AREA,
    "lanczos": Interpolation.LANCZOS,
}


class Scaler:
    """Converts frames to (C, H, W) uint8 RGB; keeps swscale's tables between frames."""

    def __init__(self, resample: str) -> None:
        self._flags = _KERNELS[resample] | Interpolation.ACCURATE_RND
        self._reformatter = VideoReformatter()

    def rgb(self, frame: VideoFrame, height: int, width: int) -> np.ndarray:
        """The frame in RGB at ``height`` x ``width``, as stored (not rotated)."""
        out = self._reformatter.reformat(
            frame,
            width=width,
            height=height,
            format="rgb24",
            interpolation=self._flags,
            threads=1,
        )
        return np.ascontiguousarray(out.to_ndarray().transpose(2, 0, 1))

    def rgb_array(self, array: np.ndarray, height: int, width: int) -> np.ndarray:
        """The same for an (H, W, 3) array; unchanged pixels when already at that size."""
        if array.shape[:2] == (height, width):
            return np.ascontiguousarray(array.transpose(2, 0, 1))
        return self.rgb(VideoFrame.from_ndarray(array, format="rgb24"), height, width)


def rotate(frame: np.ndarray, degrees: int) -> np.ndarray:
    """(C, H, W) turned counter-clockwise by the nearest quarter of ``degrees``."""
    return np.ascontiguousarray(np.rot90(frame, round(degrees / 90) % 4, axes=(1, 2)))
