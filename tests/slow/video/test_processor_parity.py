"""Against the Hugging Face processors themselves, on real clips.

Marked ``vllm`` because its installation brings torchvision, which they import; the unit
tests compare with values recorded from them.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from kinograd.config.video import VideoConfig
from kinograd.types import Cut, Media, MediaType
from kinograd.video.decode import decode
from kinograd.video.patches import Geometry, patchify
from kinograd.video.sample import sample
from kinograd.video.scale import Scaler
from kinograd.video.video_file import VideoFile

pytestmark = [pytest.mark.slow, pytest.mark.vllm]
CLIPS = ["video1.mp4", "nasa_13013.mp4", "flipping_a_pancake.mkv", "av1_video.mkv"]


def video_processor(family: str):
    if family == "qwen3_vl":
        from transformers.models.qwen3_vl.video_processing_qwen3_vl import Qwen3VLVideoProcessor

        return Qwen3VLVideoProcessor(cap_pixels_per_frame=False)
    from transformers.models.qwen2_vl.video_processing_qwen2_vl import Qwen2VLVideoProcessor

    return Qwen2VLVideoProcessor(cap_pixels_per_frame=False)


def geometry(processor) -> Geometry:
    return Geometry(
        processor.patch_size,
        processor.merge_size,
        processor.temporal_patch_size,
        tuple(processor.image_mean),
        tuple(processor.image_std),
    )


@pytest.mark.parametrize("family", ["qwen2_vl", "qwen3_vl"])
@pytest.mark.parametrize("name", CLIPS)
def test_patches_of_decoded_frames(name, family, shared_videos):
    processor = video_processor(family)
    shape = geometry(processor)
    config = VideoConfig(preset="video_r1_train", workers=0)
    media = Media(MediaType.VIDEO, Cut.whole(name))
    clip = decode(media, config.spec(shape.size_factor), config, shared_videos)
    ours, grid = patchify(clip.frames, shape)
    theirs = processor(
        videos=[torch.from_numpy(clip.frames)],
        do_resize=False,
        do_sample_frames=False,
        return_tensors="pt",
    )
    assert torch.equal(ours, theirs["pixel_values_videos"])
    assert list(grid) == theirs["video_grid_thw"][0].tolist()


@pytest.mark.parametrize("name", CLIPS)
def test_resize_torch_is_their_resize(name, shared_videos):
    """From frames at the source's size: their resizing and patching against ours."""
    processor = video_processor("qwen2_vl")
    config = VideoConfig(preset="video_r1_train", workers=0, resize="torch")
    spec = config.spec()
    clip = decode(Media(MediaType.VIDEO, Cut.whole(name)), spec, config, shared_videos)
    with VideoFile(shared_videos / name, name, config) as reader:
        indices, _ = sample(reader.index.duration, reader.index.rate, reader.index.frames, spec)
        scaler = Scaler("bicubic")
        pictures = [scaler.rgb(f, f.height, f.width) for _, f in reader.frames_at(indices.tolist())]
    theirs = processor(
        videos=[torch.from_numpy(np.stack(pictures))],
        size={"shortest_edge": spec.min_pixels, "longest_edge": spec.max_pixels},
        do_sample_frames=False,
        return_tensors="pt",
    )
    ours, _ = patchify(clip.frames, geometry(processor))
    assert torch.equal(ours, theirs["pixel_values_videos"])


def test_resizing_in_the_decoder_differs_by_little(shared_videos):
    """Mean over the clips at most 2/255: what the default costs against ``resize: torch``."""
    for name in CLIPS:
        frames = []
        for resize in ("decode", "torch"):
            config = VideoConfig(preset="video_r1_train", workers=0, resize=resize)
            media = Media(MediaType.VIDEO, Cut.whole(name))
            frames.append(decode(media, config.spec(), config, shared_videos).frames.astype(int))
        assert np.abs(frames[0] - frames[1]).mean() <= 2, name


def test_images(shared_videos, tmp_path):
    from transformers.models.qwen2_vl.image_processing_qwen2_vl import Qwen2VLImageProcessor

    config = VideoConfig(preset="video_r1_train", workers=0, resize="torch")
    spec = config.spec()
    with VideoFile(shared_videos / "video1.mp4", "video1.mp4", config) as reader:
        ((_, frame),) = reader.frames_at([100])
        picture = Scaler("bicubic").rgb(frame, frame.height, frame.width)
    Image.fromarray(picture.transpose(1, 2, 0)).save(tmp_path / "still.png")
    clip = decode(Media(MediaType.IMAGE, Cut.whole("still.png")), spec, config, tmp_path)
    processor = Qwen2VLImageProcessor()
    low, high = spec.image_pixels
    theirs = processor(
        images=[torch.from_numpy(picture)],
        size={"shortest_edge": low, "longest_edge": high},
        return_tensors="pt",
    )
    ours, grid = patchify(clip.frames, geometry(processor))
    assert list(grid) == theirs["image_grid_thw"][0].tolist()
    assert torch.equal(ours, theirs["pixel_values"])
