"""A cut behaves like the file it renders to."""

from __future__ import annotations

import numpy as np
import pytest

from kinograd.types import Black, Cut, Media, MediaType, Span
from kinograd.video.decode import ClipError, ClipFault, decode
from kinograd.video.render import render

CUTS = {
    "dark": lambda a, b: Cut((Span(a, 0.0, 0.8), Black(0.55), Span(a, 1.35, 3.0))),
    "mixed": lambda a, b: Cut(
        (Span(a, 0, 0.5), Span(b, 1.0, 1.5), Span(a, 0.5, 1.0), Span(b, 1.5, 2.0))
    ),
    "between frames": lambda a, b: Cut((Span(a, 0.13, 1.07), Span(b, 0.49, 1.98))),
    "black first": lambda a, b: Cut((Black(0.3), Span(b, 0.0, 1.0), Black(0.4))),
    "backwards and again": lambda a, b: Cut((Span(a, 2.0), Span(a, 0, 1), Span(a, 0.5, 1.5))),
    "whole": lambda a, b: Cut.whole(a),
}


@pytest.fixture(scope="session")
def sources(clips) -> tuple[str, str]:
    a = clips.make("render_a.mp4", 30, options={"g": "12", "bf": "2"}, size=(56, 112))
    return a, clips.make("render_b.mp4", 48, rate=24, size=(112, 112))


@pytest.mark.parametrize("name", CUTS)
@pytest.mark.parametrize("nframes", [4, 10])
def test_sampling_the_cut_and_the_rendered_file_is_the_same(
    name, nframes, sources, clips, make_config, video, number_of
):
    media = Media(MediaType.VIDEO, CUTS[name](*sources))
    config = make_config(nframes=nframes)
    file = f"rendered {name}.mp4"
    line = render(media, clips.root / file, config, clips.root)
    cut = decode(media, config.spec(), config, clips.root)
    whole = decode(video(file), config.spec(), config, clips.root)
    assert whole.frames.shape == cut.frames.shape
    assert whole.native_fps == pytest.approx(line.rate, rel=1e-3)
    assert whole.duration == pytest.approx(cut.duration, abs=0.6 / line.rate)
    assert whole.fps == pytest.approx(cut.fps, rel=0.05)
    assert np.allclose(whole.timestamps, cut.timestamps, atol=1e-3)
    differing = np.abs(whole.frames.astype(int) - cut.frames).mean(axis=(1, 2, 3)) > 6
    # At a segment's edge the nearest frame may be the neighbour: one source frame.
    edges = np.array([p.offset for p in line.pieces[1:]])
    for second in cut.timestamps[differing]:
        assert edges.size
        assert np.abs(edges - second).min() <= 1.0 / line.rate
    assert differing.sum() <= len(edges)


def test_a_render_that_fails_leaves_nothing(clips, small, tmp_path, sources):
    media = Media(MediaType.VIDEO, Cut((Span(sources[0], 0, 1), Span("missing.mp4"))))
    with pytest.raises(ClipError) as caught:
        render(media, tmp_path / "out.mp4", small, clips.root)
    assert caught.value.reason is ClipFault.MISSING
    assert list(tmp_path.iterdir()) == []


def test_odd_sizes_are_rendered_even(clips, small, video, tmp_path):
    name = clips.make("odd_render.mkv", 10, size=(57, 113), codec="ffv1", pixels="yuv444p")
    render(video(name), tmp_path / "out.mp4", small, clips.root)
    clip = decode(video("out.mp4"), small.spec(), small, tmp_path)
    assert clip.native_fps == pytest.approx(10)
