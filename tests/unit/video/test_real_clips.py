"""The clips that people really have: see the table of the folder they lie in."""

from __future__ import annotations

import av
import numpy as np
import pytest

from kinograd.config.video import VideoConfig
from kinograd.types import Cut, Media, MediaType, Span
from kinograd.video.decode import ClipError, ClipFault, decode, probe
from kinograd.video.video_file import VideoFile

CONFIG = VideoConfig(preset="video_r1_train", workers=0)
# frames sampled, (height, width), rate, seconds
GOOD = {
    "video1.mp4": (16, (224, 420), 22.29, 22.03),
    "nasa_13013.mp4": (16, (224, 420), 29.97, 13.01),
    "flipping_a_pancake.mkv": (16, (224, 420), 30.0, 10.33),
    "h265_video.mp4": (4, (336, 336), 10.0, 1.0),
    "av1_video.mkv": (10, (224, 420), 25.0, 5.0),
    "rotated_90.mov": (2, (420, 224), 30.0, 0.1),
}


@pytest.mark.parametrize("name", GOOD)
def test_good_clips(name, shared_videos, video):
    frames, size, rate, seconds = GOOD[name]
    clip = decode(video(name), CONFIG.spec(), CONFIG, shared_videos)
    assert clip.frames.shape == (frames, 3, *size)
    assert clip.native_fps == pytest.approx(rate, abs=0.01)
    assert clip.duration == pytest.approx(seconds, abs=0.01)
    assert clip.fps == pytest.approx(frames / clip.duration)
    assert clip.frames.std() > 10
    assert len({f.tobytes() for f in clip.frames}) > 1


@pytest.mark.parametrize("name", GOOD)
def test_the_frames_are_those_of_plain_decoding(name, shared_videos):
    with VideoFile(shared_videos / name, name, CONFIG) as reader:
        places = np.unique(np.linspace(0, reader.index.frames - 1, 7).round().astype(int)).tolist()
        found = {p: f.to_ndarray(format="gray") for p, f in reader.frames_at(places)}
        frames = reader.index.frames
    with av.open(str(shared_videos / name)) as container:
        stream = container.streams.best("video")
        stream.thread_type = "AUTO"
        plain = [f.to_ndarray(format="gray") for f in container.decode(stream)]
    assert len(plain) == frames
    for place in places:
        assert np.array_equal(found[place], plain[place]), place


def test_the_corrupt_clip(shared_videos, video):
    with pytest.raises(ClipError) as caught:
        decode(video("corrupted.mp4"), CONFIG.spec(), CONFIG, shared_videos)
    assert caught.value.reason is ClipFault.DAMAGED
    at = caught.value.at_seconds
    assert 0 < at < probe("corrupted.mp4", CONFIG, shared_videos).duration
    partial = CONFIG.model_copy(update={"on_damage": "partial"})
    clip = decode(video("corrupted.mp4"), partial.spec(), partial, shared_videos)
    assert clip.duration <= at
    assert clip.damaged.startswith("damaged at ")


def test_a_cut_over_two_real_clips(shared_videos):
    edit = Cut((Span("video1.mp4", 3, 8), Span("nasa_13013.mp4", 0, 5), Span("video1.mp4", 8, 13)))
    clip = decode(Media(MediaType.VIDEO, edit), CONFIG.spec(), CONFIG, shared_videos)
    assert clip.frames.shape == (16, 3, 224, 420)
    assert clip.duration == 15.0
    for part, path, start in (
        (0, "video1.mp4", 3),
        (5, "nasa_13013.mp4", 0),
        (10, "video1.mp4", 8),
    ):
        index = int(np.searchsorted(clip.timestamps, part))
        second = start + clip.timestamps[index] - part
        alone = Media(MediaType.VIDEO, Cut((Span(path, second, second + 1),)))
        want = decode(alone, CONFIG.spec(), CONFIG, shared_videos).frames[0]
        assert np.abs(clip.frames[index].astype(int) - want).mean() < 8, path
