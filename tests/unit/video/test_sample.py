"""Sampling against values that the published package computed (see reference/)."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinograd.config.presets import VIDEO_PRESETS
from kinograd.config.video import VideoConfig
from kinograd.types import VideoSpec
from kinograd.video.sample import frame_size, linspace_indices, sample, smart_nframes, smart_resize

PUBLISHED = json.loads(
    (Path(__file__).parent / "reference" / "sampling.json").read_text(encoding="utf-8")
)


def spec_of(values: dict) -> VideoSpec:
    return VideoSpec(**({"fps": None} | values))


def test_frame_counts_and_indices_are_the_published_ones():
    assert len(PUBLISHED["frames"]) > 1000
    for values, count, rate, n, indices in PUBLISHED["frames"]:
        spec = spec_of(values)
        if n is None:
            with pytest.raises(ValueError, match="drop the clip"):
                smart_nframes(spec, count, rate)
            continue
        got, times = sample(count / rate, rate, count, spec)
        as_list = got.tolist()
        digest = hashlib.sha256(json.dumps(as_list).encode()).hexdigest()[:16]
        assert (len(as_list), as_list if n <= 8 else digest) == (n, indices), (values, count, rate)
        assert np.all(times <= count / rate)


def test_sizes_are_the_published_ones():
    for h, w, factor, low, high, size in PUBLISHED["resizes"]:
        if size is None:
            with pytest.raises(ValueError, match="aspect ratio"):
                smart_resize(h, w, factor, low, high)
        else:
            # The package can round a thin side down to nothing; a patch is the least.
            least = [max(side, factor) for side in size]
            assert list(smart_resize(h, w, factor, low, high)) == least, (h, w, factor, low, high)


def test_the_pixel_budget_of_a_clip_is_shared_as_published():
    for h, w, n, total, low, size in PUBLISHED["sizes"]:
        budget = total or int(128000 * 784 * 0.9)
        spec = VideoSpec(min_pixels=low, max_pixels=768 * 784, total_pixels=budget)
        assert list(frame_size(h, w, n, spec)) == size, (h, w, n, total, low)


@given(st.integers(1, 300_000), st.integers(1, 1024))
def test_indices_rise_from_the_first_frame_to_the_last(count: int, n: int):
    indices = linspace_indices(count, min(n, count))
    assert indices[0] == 0
    assert len(indices) == 1 or indices[-1] == count - 1
    assert np.all(np.diff(indices) > 0)


@given(
    st.integers(1, 8000),
    st.integers(1, 8000),
    st.sampled_from([14, 28, 32]),
    st.integers(1, 1 << 18),
    st.integers(0, 1 << 20),
)
def test_sizes_are_on_the_grid_and_below_the_limit(h, w, factor, low, more):
    if max(h, w) / min(h, w) > 200:
        return
    high = low + more
    rows, columns = smart_resize(h, w, factor, low, high)
    assert rows % factor == columns % factor == 0
    assert min(rows, columns) >= factor
    if round(h / factor) * round(w / factor) * factor**2 > high and factor not in (rows, columns):
        assert rows * columns <= high


@pytest.mark.parametrize(
    ("preset", "frames", "height", "width"),
    [
        ("video_r1_train", 16, 224, 420),
        ("video_r1_eval_16", 16, 336, 588),
        ("video_r1_eval_32", 32, 336, 588),
        ("video_r1_eval_64", 60, 336, 588),
        ("open_r1_video", 16, 280, 504),
        ("vidbridge", 16, 280, 504),
        ("qwen_default", 60, 364, 644),
    ],
)
def test_presets_on_a_thirty_second_clip(preset: str, frames: int, height: int, width: int):
    """640x360 at 30 per second, as in the published set-ups."""
    spec = VideoConfig(preset=preset).spec()
    indices, _ = sample(30.0, 30.0, 900, spec)
    assert len(indices) == frames
    assert frame_size(360, 640, frames, spec) == (height, width)


def test_every_preset_is_valid_and_tested():
    tested = {
        mark.args[1][i][0]
        for mark in test_presets_on_a_thirty_second_clip.pytestmark
        for i in range(len(mark.args[1]))
    }
    assert tested == set(VIDEO_PRESETS)
