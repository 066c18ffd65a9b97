"""Conversion of a decoder's frame to upright 8-bit planar RGB at the final size."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorTrc, Interpolation, VideoReformatter

from kinograd.video.hdr import hlg_to_sdr, pq_to_sdr

_TO_SDR = {int(ColorTrc.SMPTE2084): pq_to_sdr, int(ColorTrc.ARIB_STD_B67): hlg_to_sdr}
_PLANES = (2, 0, 1)  # swscale's planar RGB is stored G, B, R


class Scaler:
    """Converter of frames to (3, H, W) uint8 RGB; keeps swscale's tables between frames.

    Planar output with full chroma interpolation: swscale's packed RGB is about 1.5/255
    too dark, and the planes are what patches and the cache want. Full chroma input: else
    RGB sources (images) lose half of their colour detail when they are scaled down.

    Args:
        resample: kernel of every change of size.
        torch_resize: change sizes in torch with antialiasing instead, as torchvision and
            with it the Hugging Face processors do.
    """

    def __init__(self, resample: str, torch_resize: bool = False) -> None:
        self._resample = resample
        self._torch_resize = torch_resize
        self._flags = (
            Interpolation[resample.upper()]
            | Interpolation.ACCURATE_RND
            | Interpolation.FULL_CHR_H_INT
            | Interpolation.FULL_CHR_H_INP
        )
        self._reformatter = VideoReformatter()

    def rgb(self, frame: VideoFrame, height: int, width: int) -> np.ndarray:
        """Return (3, height, width) of a decoded frame, as stored (not turned)."""
        if self._torch_resize and (frame.height, frame.width) != (height, width):
            native = self.rgb(frame, frame.height, frame.width)
            return _resize_in_torch(native, height, width, self._resample)
        to_sdr = _TO_SDR.get(int(frame.color_trc))
        out = self._reformatter.reformat(
            frame,
            width=width,
            height=height,
            format="gbrp" if to_sdr is None else "gbrp16le",
            interpolation=self._flags,
            threads=1,
        )
        planes = _planes(out)
        return planes if to_sdr is None else to_sdr(planes)

    def rgb_array(self, array: np.ndarray, height: int, width: int) -> np.ndarray:
        """Return (3, height, width) of an (H, W, 3) array; its own pixels at that size already."""
        if array.shape[:2] == (height, width):
            return np.ascontiguousarray(array.transpose(2, 0, 1))
        return self.rgb(VideoFrame.from_ndarray(array, format="rgb24"), height, width)


def _planes(frame: VideoFrame) -> np.ndarray:
    """Return (3, H, W) uint8 or uint16 of a gbrp or gbrp16le frame."""
    dtype = np.dtype("<u2") if frame.format.name == "gbrp16le" else np.dtype(np.uint8)
    out = np.empty((3, frame.height, frame.width), dtype)
    for channel, plane in enumerate(_PLANES):
        data = frame.planes[plane]
        rows = np.frombuffer(memoryview(data), dtype).reshape(-1, data.line_size // dtype.itemsize)
        out[channel] = rows[: frame.height, : frame.width]
    return out


def _resize_in_torch(frame: np.ndarray, height: int, width: int, resample: str) -> np.ndarray:
    import torch.nn.functional as F
    from torch import from_numpy

    resized = F.interpolate(
        from_numpy(frame)[None], size=(height, width), mode=resample, antialias=True
    )
    return resized[0].numpy()


# ------------------------------------------------------------------ orientation


@dataclass(frozen=True, slots=True)
class Orientation:
    """Turn of a stored frame for showing: transposed first, then mirrored."""

    transpose: bool = False
    mirror_x: bool = False
    mirror_y: bool = False

    @classmethod
    def of(cls, frame: VideoFrame) -> Orientation:
        """Return the turn of a display matrix (x' = a x + c y, y' = b x + d y), in quarters."""
        try:
            side_data = frame.side_data.get("DISPLAYMATRIX")
        except ValueError:
            # FFmpeg attached side data of a kind that PyAV does not list (EXIF, 3D views), and
            # none can be read. The rotation can: counter-clockwise, in degrees.
            turn = math.radians(frame.rotation)
            a, b, c, d = math.cos(turn), -math.sin(turn), math.sin(turn), math.cos(turn)
        else:
            if side_data is None:
                return cls()
            a, b, _, c, d = np.frombuffer(bytes(side_data), "<i4")[:5].astype(int)
        if abs(a) + abs(d) >= abs(b) + abs(c):
            return cls(False, bool(a < 0), bool(d < 0))
        return cls(True, bool(c < 0), bool(b < 0))

    def apply(self, frame: np.ndarray) -> np.ndarray:
        """Return (C, H, W) as shown; (C, W, H) when transposed."""
        if self.transpose:
            frame = frame.transpose(0, 2, 1)
        return frame[:, :: -1 if self.mirror_y else 1, :: -1 if self.mirror_x else 1]
