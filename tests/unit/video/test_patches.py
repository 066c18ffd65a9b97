"""Patches equal the published processors' to the last bit (values in reference/)."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from kinograd.video.patches import Geometry, patchify

PUBLISHED = json.loads(
    (Path(__file__).parent / "reference" / "patches.json").read_text(encoding="utf-8")
)


def case(entry: dict) -> tuple[np.ndarray, Geometry]:
    patch, frames, rows, columns = (entry[k] for k in ("patch", "frames", "rows", "columns"))
    rng = np.random.default_rng([patch, frames, rows, columns])
    pixels = rng.integers(0, 256, (frames, 3, rows * patch, columns * patch), dtype=np.uint8)
    return pixels, Geometry(patch, 2, 2, tuple(entry["mean"]), tuple(entry["std"]))


@pytest.mark.parametrize("entry", PUBLISHED, ids=lambda e: f"{e['processor']}-{e['frames']}")
def test_patches_are_the_published_ones_to_the_last_bit(entry):
    pixels, geometry = case(entry)
    values, grid = patchify(pixels, geometry)
    assert list(grid) == entry["grid"]
    assert list(values.shape) == entry["shape"]
    assert values[0, :4].tolist() == entry["first"]
    assert hashlib.sha256(values.numpy().tobytes()).hexdigest() == entry["sha256"]


def test_read_only_frames_are_taken():
    pixels, geometry = case(PUBLISHED[0])
    want, _ = patchify(pixels, geometry)
    pixels.flags.writeable = False
    assert torch.equal(patchify(pixels, geometry)[0], want)


def test_sizes_off_the_grid_are_refused():
    with pytest.raises(ValueError, match="grid of 28"):
        patchify(np.zeros((2, 3, 42, 56), np.uint8), Geometry(14, 2, 2, (0.5,) * 3, (0.5,) * 3))


def test_grid_and_tokens_are_known_without_pixels():
    geometry = Geometry(14, 2, 2, (0.5,) * 3, (0.5,) * 3)
    assert geometry.size_factor == 28
    assert geometry.grid(16, 224, 420) == (8, 16, 30)
    assert geometry.tokens(16, 224, 420) == 960
    assert geometry.tokens(1, 56, 56) == 4
