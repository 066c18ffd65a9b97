"""Sampling arithmetic: frames of a clip that a model sees, and their size. No decoder.

The published behaviour of qwen-vl-utils 0.0.14 (``vision_process.py``: ``smart_nframes``,
``smart_resize``, the ``linspace`` rule of its readers), which Video-R1, Open-R1-Video and
VidBridge-R1 vendor: golden files hold it.
"""

from __future__ import annotations

import math

import numpy as np

from kinograd.types import VideoSpec

MAX_RATIO = 200


def smart_nframes(spec: VideoSpec, frame_count: int, native_fps: float) -> int:
    """Return the number of frames to sample from ``frame_count`` frames at ``native_fps``.

    A multiple of ``spec.frame_factor`` (a model folds that many frames into one patch).

    Raises:
        ValueError: if the clip has too few frames for the spec.
    """
    factor = spec.frame_factor
    if spec.nframes is not None:
        n = round(spec.nframes / factor) * factor
    else:
        assert spec.fps is not None  # VideoSpec: exactly one of the two
        low = math.ceil(spec.min_frames / factor) * factor
        high = math.floor(spec.max_frames / factor) * factor
        wanted = min(max(frame_count / native_fps * spec.fps, low), high, frame_count)
        n = math.floor(wanted / factor) * factor
    if not factor <= n <= frame_count:
        held = f"it has {frame_count} frame{'s'[: frame_count != 1]} ({native_fps:.3g} per second)"
        if frame_count < factor:
            raise ValueError(f"{held}, and the model reads {factor} at a time; drop the clip")
        raise ValueError(
            f"{held}, too few for the {max(n, factor)} asked for; lower video.nframes or "
            "video.min_frames, or drop the clip"
        )
    return n


def linspace_indices(frame_count: int, n: int) -> np.ndarray:
    """Return int64 (n,): ``torch.linspace(0, frame_count - 1, n).round()`` without torch.

    In float32 and from both ends, as torch computes it, so that ties fall equally.
    """
    last = np.float32(frame_count - 1)
    if n == 1:
        return np.zeros(1, dtype=np.int64)
    step = last / np.float32(n - 1)
    i = np.arange(n)
    head = step * i.astype(np.float32)
    tail = last - step * (n - 1 - i).astype(np.float32)
    return np.where(i < n // 2, head, tail).round().astype(np.int64)


def sample(
    duration: float, native_fps: float, frame_count: int, spec: VideoSpec
) -> tuple[np.ndarray, np.ndarray]:
    """Return frame indices int64 (T,) and their timestamps float64 (T,) in seconds.

    Indices count the clip's frames at its nominal rate: frame ``i`` is shown from
    ``i / native_fps``, which never exceeds ``duration``.

    Raises:
        ValueError: if the clip has too few frames for the spec.
    """
    n = smart_nframes(spec, frame_count, native_fps)
    indices = linspace_indices(frame_count, n)
    return indices, np.minimum(indices / native_fps, duration)


def smart_resize(
    height: int, width: int, factor: int, min_pixels: int, max_pixels: float
) -> tuple[int, int]:
    """Return (height, width): multiples of ``factor`` within the pixel limits, aspect kept.

    Raises:
        ValueError: if one side is more than 200 times the other.
    """
    ratio = max(height, width) / min(height, width)
    if ratio > MAX_RATIO:
        raise ValueError(f"aspect ratio {ratio:.0f}:1 exceeds {MAX_RATIO}:1")
    h = max(factor, round(height / factor) * factor)
    w = max(factor, round(width / factor) * factor)
    if h * w > max_pixels:
        beta = math.sqrt(height * width / max_pixels)
        h = max(factor, math.floor(height / beta / factor) * factor)
        w = max(factor, math.floor(width / beta / factor) * factor)
    elif h * w < min_pixels:
        beta = math.sqrt(min_pixels / (height * width))
        h = math.ceil(height * beta / factor) * factor
        w = math.ceil(width * beta / factor) * factor
    return h, w


def frame_size(height: int, width: int, n_frames: int, spec: VideoSpec) -> tuple[int, int]:
    """Return (height, width) of each of ``n_frames`` sampled frames under ``spec``.

    ``total_pixels`` shares its budget among the frames but leaves each at least 5 %
    more than ``min_pixels``, as qwen-vl-utils does.

    Raises:
        ValueError: see ``smart_resize``.
    """
    limit: float = spec.max_pixels
    if spec.total_pixels is not None:
        share = spec.total_pixels / n_frames * spec.frame_factor
        limit = min(limit, max(share, int(spec.min_pixels * 1.05)))
    return smart_resize(height, width, spec.size_factor, spec.min_pixels, limit)
