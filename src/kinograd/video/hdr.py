"""High dynamic range to 8-bit: what a phone or a player does before it shows the clip.

Without this step PQ and HLG videos look washed out and grey, unlike everything the vision
tower was trained on. Transfer functions: ITU-R BT.2100-2 tables 4 and 5; diffuse white at
203 cd/m2: BT.2408; the primaries' matrix: BT.2087; the display's gamma: BT.1886.
Highlights above white are rolled off exponentially from a knee at three quarters, all
channels by one factor, so that hues stay.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

_WHITE = 203.0  # cd/m2 of diffuse white
_KNEE = 0.75
# BT.2020 to BT.709 primaries, linear light
_MATRIX = np.array(
    [
        [1.6605, -0.5876, -0.0728],
        [-0.1246, 1.1329, -0.0083],
        [-0.0182, -0.1006, 1.1187],
    ],
    dtype=np.float32,
)
_LUMA = np.array([0.2627, 0.6780, 0.0593], dtype=np.float32)


def pq_to_sdr(rgb: np.ndarray) -> np.ndarray:
    """Convert (3, H, W) uint16 in PQ (SMPTE ST 2084), BT.2020, to uint8 in BT.709."""
    return _show(_pq_table()[rgb])


def hlg_to_sdr(rgb: np.ndarray) -> np.ndarray:
    """Convert (3, H, W) uint16 in HLG (ARIB STD-B67), BT.2020, to uint8 in BT.709."""
    scene = _hlg_table()[rgb]
    luminance = np.tensordot(_LUMA, scene, axes=1)
    # the reference display of 1000 cd/m2 applies a system gamma of 1.2 to luminance
    light = 1000.0 * scene * np.maximum(luminance, 1e-6) ** 0.2
    return _show((light / _WHITE).astype(np.float32))


@lru_cache(maxsize=1)
def _pq_table() -> np.ndarray:
    """Linear light of each 16-bit code, white = 1."""
    code = np.linspace(0.0, 1.0, 1 << 16) ** (1 / 78.84375)
    top = np.maximum(code - 0.8359375, 0.0)
    light = (top / (18.8515625 - 18.6875 * code)) ** (1 / 0.1593017578125)
    return (10000.0 / _WHITE * light).astype(np.float32)


@lru_cache(maxsize=1)
def _hlg_table() -> np.ndarray:
    """Scene light of each 16-bit code, 0..1."""
    code = np.linspace(0.0, 1.0, 1 << 16)
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    light = np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12)
    return light.astype(np.float32)


def _show(light: np.ndarray) -> np.ndarray:
    """Linear BT.2020 light (3, H, W), white = 1, as gamma-coded uint8 BT.709."""
    light = np.maximum(np.tensordot(_MATRIX, light, axes=1), 0.0)
    peak = np.maximum(light.max(axis=0), 1e-6)
    rolled = _KNEE + (1 - _KNEE) * (1 - np.exp(-(peak - _KNEE) / (1 - _KNEE)))
    light = light * np.where(peak > _KNEE, rolled / peak, 1.0)
    return np.rint(255 * np.minimum(light, 1.0) ** (1 / 2.4)).astype(np.uint8)
