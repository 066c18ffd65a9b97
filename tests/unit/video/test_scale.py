"""Changes of size: in the decoder by default, in torch as the processors do on request."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import pytest

from kinograd.video.decode import decode
from kinograd.video.scale import Scaler

PUBLISHED = json.loads(
    (Path(__file__).parent / "reference" / "resized.json").read_text(encoding="utf-8")
)


@pytest.mark.parametrize("entry", PUBLISHED, ids=lambda e: f"{e['resample']}-{e['size'][0]}")
def test_resizing_in_torch_gives_the_published_pixels(entry):
    pixels = np.random.default_rng(5).integers(0, 256, (3, 31, 40), dtype=np.uint8)
    scaler = Scaler(entry["resample"], torch_resize=True)
    got = scaler.rgb_array(np.ascontiguousarray(pixels.transpose(1, 2, 0)), *entry["size"])
    # kernels for different processors may round a tie differently
    assert np.abs(got.astype(int) - entry["pixels"]).max() <= 1
    assert np.mean(got != entry["pixels"]) < 0.01


@pytest.mark.parametrize("resample", ["bicubic", "bilinear", "area", "lanczos"])
def test_resizing_in_the_decoder_is_close_to_torch(resample, clips, make_config, video):
    """On a picture with detail, scaled down by half."""
    rng = np.random.default_rng(2)
    coarse = rng.integers(30, 220, (28, 56, 3)).astype(np.float64)
    picture = np.kron(coarse, np.ones((8, 8, 1))).astype(np.uint8)
    name = clips.make("detail.mkv", [picture] * 8, codec="ffv1", pixels="yuv444p")
    config = make_config(max_pixels=112 * 224, resample=resample)
    ours = decode(video(name), config.spec(), config, clips.root).frames
    theirs = make_config(max_pixels=112 * 224, resize="torch")
    want = decode(video(name), theirs.spec(), theirs, clips.root).frames
    assert ours.shape == want.shape == (8, 3, 112, 224)
    assert np.abs(ours.astype(int) - want).mean() <= (2 if resample == "bicubic" else 6)


def test_images_keep_their_colour_detail():
    """Half the size, colours that change from pixel to pixel."""
    picture = np.random.default_rng(0).integers(0, 256, (224, 280, 3), dtype=np.uint8)
    ours = Scaler("bicubic").rgb_array(picture, 112, 140).astype(int)
    theirs = Scaler("bicubic", torch_resize=True).rgb_array(picture, 112, 140)
    assert np.abs(ours - theirs).mean(axis=(1, 2)).max() < 1.5


def test_planes_are_red_green_blue_without_padding():
    picture = np.zeros((6, 10, 3), np.uint8)
    picture[:] = (10, 20, 30)
    frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
    out = Scaler("bicubic").rgb(frame, 6, 10)
    assert out.shape == (3, 6, 10)
    assert [np.unique(p).tolist() for p in out] == [[10], [20], [30]]
