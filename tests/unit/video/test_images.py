"""Images and ready frames take the same path as videos."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from kinograd.types import Cut, Media, MediaType
from kinograd.video.decode import clip_from_frames, decode
from kinograd.video.faults import ClipError, ClipFault


def image(path: str) -> Media:
    return Media(MediaType.IMAGE, Cut.whole(path))


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (56, 84, 3), dtype=np.uint8)


def test_an_image_at_its_size_keeps_every_pixel(small, tmp_path, picture):
    Image.fromarray(picture).save(tmp_path / "a.png")
    clip = decode(image("a.png"), small.spec(), small, tmp_path)
    assert np.array_equal(clip.frames[0], picture.transpose(2, 0, 1))
    assert clip.timestamps.tolist() == [0.0]


def test_images_have_pixel_limits_of_their_own(make_config, tmp_path, picture):
    Image.fromarray(picture).save(tmp_path / "a.png")
    config = make_config(image_max_pixels=28 * 28)
    clip = decode(image("a.png"), config.spec(), config, tmp_path)
    assert clip.frames.shape == (1, 3, 28, 28)


def test_orientation_and_transparency_are_applied(small, tmp_path, picture):
    turned = Image.fromarray(picture)
    exif = turned.getexif()
    exif[0x0112] = 6  # shown turned clockwise
    turned.save(tmp_path / "turned.png", exif=exif)
    clip = decode(image("turned.png"), small.spec(), small, tmp_path)
    assert np.array_equal(clip.frames[0], np.rot90(picture, -1).transpose(2, 0, 1))
    Image.new("RGBA", (56, 56), (200, 0, 0, 0)).save(tmp_path / "clear.png")
    clip = decode(image("clear.png"), small.spec(), small, tmp_path)
    assert (clip.frames == 255).all()


@pytest.mark.parametrize("mode", ["L", "P", "1", "CMYK"])
def test_other_colour_modes_become_rgb(small, tmp_path, picture, mode):
    Image.fromarray(picture).convert(mode).save(tmp_path / "a.tif")
    assert decode(image("a.tif"), small.spec(), small, tmp_path).frames.shape == (1, 3, 56, 84)


RAMP = np.tile(np.linspace(0, 65535, 112), (56, 1))


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.pgm", "fraction.tif"])
def test_sixteen_bits_and_fractions_keep_their_brightness(small, tmp_path, name):
    fraction = name.startswith("fraction")
    values = (RAMP / 65535).astype(np.float32) if fraction else RAMP.astype(np.uint16)
    Image.fromarray(values).save(tmp_path / name)
    frame = decode(image(name), small.spec(), small, tmp_path).frames[0]
    assert np.abs(frame[0].astype(int) - np.round(RAMP / 257)).max() <= 1
    assert np.array_equal(frame[0], frame[2])


@pytest.mark.parametrize("values", [RAMP.astype(np.int32), RAMP.astype(np.float32), RAMP / -1e9])
def test_numbers_of_unknown_range_are_refused(small, tmp_path, values):
    Image.fromarray(values.astype(values.dtype if values.dtype != float else np.float32)).save(
        tmp_path / "a.tif"
    )
    with pytest.raises(ClipError) as caught:
        decode(image("a.tif"), small.spec(), small, tmp_path)
    assert caught.value.reason is ClipFault.UNSUPPORTED


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("name", ["a.avif", "a.png", "a.webp", "a.gif", "a.tif", "a.jpg"])
def test_a_damaged_image_is_a_fault_or_a_picture(small, tmp_path, picture, name):
    Image.fromarray(picture).save(tmp_path / name)
    data = (tmp_path / name).read_bytes()
    rng, faults = np.random.default_rng(3), set()
    for _ in range(60):
        damaged = bytearray(data)
        for place in rng.integers(0, min(len(data), 600), 6):
            damaged[place] = rng.integers(0, 256)
        (tmp_path / name).write_bytes(damaged[: rng.integers(20, 2 * len(data))])
        try:
            decode(image(name), small.spec(), small, tmp_path)
        except ClipError as error:
            faults.add(error.reason)
    assert ClipFault.NOT_MEDIA in faults
    assert faults <= {
        ClipFault.NOT_MEDIA,
        ClipFault.UNSUPPORTED,
        ClipFault.ASPECT,
        ClipFault.TOO_MANY_PIXELS,
    }


def test_ready_frames_as_images_or_arrays(small, picture):
    arrays = [picture, picture[::-1].copy(), 255 - picture]
    clip = clip_from_frames(arrays, 2.0, small.spec())
    same = clip_from_frames([Image.fromarray(a) for a in arrays], 2.0, small.spec())
    stacked = clip_from_frames(np.stack(arrays), 2.0, small.spec())
    assert np.array_equal(clip.frames, same.frames)
    assert np.array_equal(clip.frames, stacked.frames)
    assert np.array_equal(clip.frames[:3], np.stack(arrays).transpose(0, 3, 1, 2))
    assert np.array_equal(clip.frames[3], clip.frames[2])  # an even number, as published
    assert clip.timestamps.tolist() == [0.0, 0.5, 1.0, 1.5]
    assert (clip.fps, clip.duration) == (2.0, 2.0)


def test_ready_frames_are_scaled_like_decoded_ones(clips, make_config, video):
    """Lossless frames through a file and through memory, both scaled down."""
    rng = np.random.default_rng(3)
    smooth = [np.kron(rng.integers(0, 256, (16, 24, 3)), np.ones((8, 8, 1))) for _ in range(2)]
    pictures = [p.astype(np.uint8) for p in smooth]
    name = clips.make("lossless.mkv", pictures, codec="ffv1", pixels="bgr0", rate=Fraction(2))
    config = make_config(nframes=2, max_pixels=56 * 84)
    from_file = decode(video(name), config.spec(), config, clips.root)
    from_memory = clip_from_frames(pictures, 2.0, config.spec())
    assert from_file.frames.shape == from_memory.frames.shape == (2, 3, 56, 84)
    assert np.abs(from_file.frames.astype(int) - from_memory.frames).max() <= 1


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ([], "at least one"),
        ([np.zeros((4, 4), np.uint8)], "uint8"),
        ([np.zeros((4, 4, 3), np.float32)], "uint8"),
        ([np.zeros((8, 8, 3), np.uint8), np.zeros((9, 8, 3), np.uint8)], "one size"),
        ([np.zeros((1, 201, 3), np.uint8)], "aspect"),
    ],
)
def test_frames_that_make_no_clip(small, frames, message):
    with pytest.raises(ValueError, match=message):
        clip_from_frames(frames, 1.0, small.spec())


def test_a_rate_that_makes_no_clip(small, picture):
    with pytest.raises(ValueError, match="fps"):
        clip_from_frames([picture], 0.0, small.spec())
