"""Views of a clip, which T-GRPO and the order-sensitivity diagnostics compare.

A view changes which pixels are shown when, never the number of frames, their size or
their timestamps, so a twin prompt has the same tokens and positions.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from kinograd.keys import generator
from kinograd.types import Clip, View, ViewKind

PAIR = 2  # frames in a temporal patch of the Qwen vision towers


def shuffle_order(n_units: int, *key: object) -> np.ndarray:
    """Return int64 (n_units,): a permutation addressed by ``key``, never the identity if n >= 2.

    Cached features of temporal patches are shuffled by the same order as the frames
    (``features[order]``).
    """
    if n_units < 2:
        return np.arange(n_units)
    rng = generator("shuffle", *key)
    identity = np.arange(n_units)
    while True:
        order = rng.permutation(n_units)
        if not np.array_equal(order, identity):
            return order


def apply_view(clip: Clip, view: View, *key: object) -> Clip:
    """Return ``clip`` as ``view`` shows it; ``clip`` itself for ``ordered``.

    Args:
        key: parts of the random key, (run seed, example id, step); only ``shuffled``
            draws from it.

    With ``unit="temporal_patch"`` an odd clip first repeats its last frame, as the patch
    embedding would, so that pairs stay together.
    """
    frames = clip.frames
    match view.kind:
        case ViewKind.ORDERED:
            return clip
        case ViewKind.BLANK:
            return replace(clip, frames=np.zeros_like(frames))
        case ViewKind.REVERSED:
            return replace(clip, frames=np.ascontiguousarray(frames[::-1]))
        case ViewKind.FLIPPED:
            return replace(clip, frames=np.ascontiguousarray(frames[..., ::-1]))
        case ViewKind.MASKED:
            return replace(clip, frames=_masked(clip, view.intervals))
        case ViewKind.SHUFFLED if view.unit == "frame":
            return replace(clip, frames=frames[shuffle_order(len(frames), *key)])
        case ViewKind.SHUFFLED if view.unit == "temporal_patch":
            clip = _even(clip)
            order = shuffle_order(len(clip.frames) // PAIR, *key)
            picks = (order[:, None] * PAIR + np.arange(PAIR)).reshape(-1)
            return replace(clip, frames=clip.frames[picks])
    raise ValueError(f"unknown view {view!r}; unit is 'frame' or 'temporal_patch'")


def _masked(clip: Clip, intervals: tuple[tuple[float, float], ...]) -> np.ndarray:
    hidden = np.zeros(len(clip.frames), dtype=bool)
    for start, end in intervals:
        hidden |= (clip.timestamps >= start) & (clip.timestamps < end)
    frames = clip.frames.copy()
    frames[hidden] = 0
    return frames


def _even(clip: Clip) -> Clip:
    missing = -len(clip.frames) % PAIR
    if not missing:
        return clip
    frames = np.concatenate([clip.frames, np.repeat(clip.frames[-1:], missing, axis=0)])
    step = 1.0 / clip.fps
    extra = clip.timestamps[-1] + step * np.arange(1, missing + 1)
    return replace(clip, frames=frames, timestamps=np.concatenate([clip.timestamps, extra]))
