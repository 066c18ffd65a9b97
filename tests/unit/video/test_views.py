from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests import builders

from kinograd.types import Clip, View, ViewKind
from kinograd.video.patches import Geometry, patchify
from kinograd.video.views import apply_view, shuffle_order


def clip(n: int = 8) -> Clip:
    frames = np.random.default_rng(n).integers(1, 256, (n, 3, 8, 8), dtype=np.uint8)
    return builders.clip(frames, native_fps=30.0)


def test_ordered_is_the_clip_itself():
    c = clip()
    assert apply_view(c, View()) is c


@given(st.integers(2, 40), st.text(max_size=5), st.integers(0, 1000))
def test_a_shuffle_is_a_permutation_and_never_the_identity(n, example, step):
    order = shuffle_order(n, 0, example, step)
    assert sorted(order) == list(range(n))
    assert list(order) != list(range(n))


def test_a_shuffle_is_addressed_by_its_key_alone():
    assert np.array_equal(shuffle_order(16, 3, "a", 5), shuffle_order(16, 3, "a", 5))
    others = [shuffle_order(16, *key) for key in ((4, "a", 5), (3, "b", 5), (3, "a", 6))]
    assert not any(np.array_equal(shuffle_order(16, 3, "a", 5), o) for o in others)


@pytest.mark.parametrize("n", [0, 1])
def test_one_unit_has_no_other_order(n):
    assert list(shuffle_order(n, 0)) == list(range(n))


@pytest.mark.parametrize("unit", ["frame", "temporal_patch"])
def test_a_shuffled_clip_has_the_same_frames_at_the_same_times(unit):
    c = clip()
    shuffled = apply_view(c, View(ViewKind.SHUFFLED, unit), 0, "x", 1)
    assert not np.array_equal(shuffled.frames, c.frames)
    assert sorted(f.tobytes() for f in shuffled.frames) == sorted(f.tobytes() for f in c.frames)
    assert np.array_equal(shuffled.timestamps, c.timestamps)
    assert shuffled.fps == c.fps
    again = apply_view(c, View(ViewKind.SHUFFLED, unit), 0, "x", 1)
    assert np.array_equal(shuffled.frames, again.frames)


@pytest.mark.parametrize("frames", [2, 5, 8])
def test_shuffling_temporal_patches_permutes_the_patches(frames):
    """Hence a frozen tower's features can be permuted instead of computed again."""
    geometry = Geometry(4, 2, 2, (0.5,) * 3, (0.5,) * 3)
    c = clip(frames)
    plain, (t, h, w) = patchify(c.frames, geometry)
    shuffled, grid = patchify(
        apply_view(c, View(ViewKind.SHUFFLED, "temporal_patch"), 7, "q", 2).frames, geometry
    )
    assert grid == (t, h, w)
    order = shuffle_order(t, 7, "q", 2)
    assert torch.equal(shuffled.view(t, h * w, -1), plain.view(t, h * w, -1)[order])


def test_reversed_flipped_blank_and_masked():
    c = clip()
    assert np.array_equal(apply_view(c, View(ViewKind.REVERSED)).frames, c.frames[::-1])
    assert np.array_equal(apply_view(c, View(ViewKind.FLIPPED)).frames, c.frames[..., ::-1])
    assert not apply_view(c, View(ViewKind.BLANK)).frames.any()
    masked = apply_view(c, View(ViewKind.MASKED, intervals=((0.5, 1.5), (3.0, 3.1))))
    assert [i for i, f in enumerate(masked.frames) if not f.any()] == [1, 2, 6]
    kept = [0, 3, 4, 5, 7]
    assert np.array_equal(masked.frames[kept], c.frames[kept])
    assert c.frames.all()  # the clip that is shared was not written to


def test_an_unknown_unit_is_an_error():
    with pytest.raises(ValueError, match="unknown view"):
        apply_view(clip(), View(ViewKind.SHUFFLED, "minute"), 0)
