"""Decoding real files: the right frame, from every format, however it is stored."""

from __future__ import annotations

import struct
from fractions import Fraction

import av
import numpy as np
import pytest
from av.video.reformatter import ColorPrimaries, Colorspace, ColorTrc

from kinograd.types import Black, Cut, Media, MediaType, Span
from kinograd.video import video_file as reader_module
from kinograd.video.decode import decode, probe
from kinograd.video.video_file import VideoFile

FORMATS = {
    "h264.mp4": {"codec": "libx264", "options": {"g": "12", "bf": "3"}},
    "h264.mov": {"codec": "libx264", "options": {"g": "30"}},
    "h264.mkv": {"codec": "libx264", "options": {"g": "7"}},
    "h264.ts": {"codec": "libx264", "options": {"g": "12"}},
    "hevc.mp4": {"codec": "libx265", "options": {"x265-params": "log-level=none:keyint=12"}},
    "vp9.webm": {"codec": "libvpx-vp9", "options": {"g": "12", "cpu-used": "8"}},
    "vp8.webm": {"codec": "libvpx", "options": {"g": "12", "cpu-used": "8"}},
    "av1.mp4": {"codec": "libsvtav1", "options": {"preset": "12", "g": "12"}},
    "av1.webm": {"codec": "libsvtav1", "options": {"preset": "12"}},
    "mpeg4.avi": {"codec": "mpeg4", "options": {"q": "2", "g": "12"}},
    "mpeg4_b.avi": {"codec": "mpeg4", "options": {"q": "2", "g": "12", "bf": "2"}},
    "mpeg4.mp4": {"codec": "mpeg4", "options": {"q": "2", "bf": "2"}},
    "mpeg2.mpg": {"codec": "mpeg2video", "rate": 25, "options": {"q": "2", "bf": "2"}},
    "prores.mov": {"codec": "prores_ks", "pixels": "yuv422p10le"},
    "mjpeg.avi": {"codec": "mjpeg", "pixels": "yuvj420p", "options": {"q": "2"}},
    "ffv1.mkv": {"codec": "ffv1"},
    "loop.gif": {"codec": "gif", "pixels": "rgb8"},
}


def numbers(clip, number_of) -> list[int]:
    return [number_of(f) for f in clip.frames]


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_frames_asked_for(name, clips, small, video, number_of):
    clips.make(name, 30, **FORMATS[name])
    clip = decode(video(name), small.spec(), small, clips.root)
    rate = FORMATS[name].get("rate", 10)
    assert numbers(clip, number_of) == [0, 4, 8, 12, 17, 21, 25, 29]
    assert clip.frames.shape == (8, 3, 56, 140)
    assert clip.duration == pytest.approx(30 / rate, rel=0.02)
    assert clip.native_fps == pytest.approx(rate, rel=0.02)
    assert clip.fps == pytest.approx(8 / clip.duration)
    assert np.allclose(clip.timestamps, np.array([0, 4, 8, 12, 17, 21, 25, 29]) / clip.native_fps)
    assert clip.damaged is None


@pytest.mark.parametrize("name", ["h264.mp4", "h264.mkv", "h264.ts", "hevc.mp4", "vp9.webm"])
def test_seeking_in_a_large_file_gives_the_same_pixels(name, clips, small, video, monkeypatch):
    """Larger files are not kept in memory but sought in: exercised by forbidding to keep."""
    clips.make(name, 30, **FORMATS[name])
    kept = decode(video(name), small.spec(), small, clips.root)
    monkeypatch.setattr(reader_module, "KEEP_BYTES", 0)
    with VideoFile(clips.root / name, name, small) as reader:
        assert reader._packets is None
    sought = decode(video(name), small.spec(), small, clips.root)
    assert np.array_equal(kept.frames, sought.frames)


@pytest.mark.parametrize("name", FORMATS)
def test_skipping_what_is_not_needed_changes_no_pixel(name, clips, small, number_of):
    """Against the plainest decoding there is: every packet, from the start."""
    clips.make(name, 30, **FORMATS[name])
    with av.open(str(clips.root / name)) as container:
        plain = [f.to_ndarray(format="gray") for f in container.decode(video=0)]
    places = [1, 2, 11, 12, 13, 14, 28]
    with VideoFile(clips.root / name, name, small) as reader:
        found = {p: f.to_ndarray(format="gray") for p, f in reader.frames_at(places)}
    assert sorted(found) == places
    for place in places:
        assert np.array_equal(found[place], plain[place]), place


def test_open_groups_of_pictures_are_entered_where_they_can_be(clips, small):
    """Frames shown before a keyframe but stored after it need the group before."""
    options = {"x264-params": "open-gop=1:keyint=10:min-keyint=10:bframes=3:scenecut=0"}
    name = clips.make("open_gop.mp4", 40, options=options)
    with av.open(str(clips.root / name)) as container:
        plain = [f.to_ndarray(format="gray") for f in container.decode(video=0)]
    for place in range(40):
        with VideoFile(clips.root / name, name, small) as reader:
            ((_, frame),) = reader.frames_at([place])
            assert np.array_equal(frame.to_ndarray(format="gray"), plain[place]), place


# ------------------------------------------------------------------------- time


def test_a_variable_rate_is_sampled_by_time(clips, make_config, video, number_of):
    """Ten frames in the first second, then one held for nine: a screen recording."""
    pts = [*range(0, 1000, 100), 1000, 10000]
    name = clips.make("held.mkv", 12, pts=pts, time_base=Fraction(1, 1000))
    config = make_config(fps=1.0, nframes=None, min_frames=2)
    clip = decode(video(name), config.spec(), config, clips.root)
    shown = numbers(clip, number_of)
    seconds = np.round(clip.timestamps, 2)
    want = [
        int(np.searchsorted(np.array(pts) / 1000, t + 1e-3, "right") - 1)  # on screen then
        for t in clip.timestamps
    ]
    assert shown == want
    assert shown.count(10) >= 6, (shown, seconds)  # the held frame fills the middle


@pytest.mark.parametrize("name", ["late.ts", "late.mp4", "late.mkv", "late.mov"])
def test_a_start_that_is_not_zero_is_the_timeline_s_zero(name, clips, small, video, number_of):
    """FFmpeg's Matroska counts its length from zero: a late film is not a cut-off one."""
    clips.make(name, 30, pts=range(50, 80))
    clip = decode(video(name), small.spec(), small, clips.root)
    assert numbers(clip, number_of) == [0, 4, 8, 12, 17, 21, 25, 29]
    assert clip.timestamps[0] == 0.0
    assert clip.duration == pytest.approx(3.0, rel=0.02)


@pytest.mark.parametrize("rate", [30000 / 1001, 22.29, 59.94])
def test_odd_rates_slip_by_no_frame(clips, make_config, video, number_of, rate):
    """Matroska rounds times to milliseconds."""
    name = clips.make(f"rate_{rate:.2f}.mkv", 120, rate=rate)
    config = make_config(nframes=120)
    clip = decode(video(name), config.spec(), config, clips.root)
    assert numbers(clip, number_of) == list(range(120))
    assert clip.native_fps == pytest.approx(rate, rel=1e-3)


def trimmed(data: bytes, seconds: float, from_seconds: float) -> bytes:
    """The same mp4 with another edit list (ISO 14496-12, 8.6.6): what a phone's trim does."""
    at = data.index(b"elst") + 12
    length, start = struct.unpack(">Ii", data[at : at + 8])  # ms of the film, media ticks
    edit = struct.pack(">Ii", round(seconds * 1000), start + round(from_seconds * 10240))
    assert length == 4000
    return data[:at] + edit + data[at + 8 :]


@pytest.mark.parametrize("start", [0, 10, 13])
def test_a_trimmed_film_is_what_its_edit_list_leaves(clips, make_config, video, number_of, start):
    name = clips.make("untrimmed.mp4", 40, options={"g": "10", "bf": "2"})
    data = trimmed((clips.root / name).read_bytes(), 2.0, start / 10)
    (clips.root / f"trimmed_{start}.mp4").write_bytes(data)
    config = make_config(nframes=20)
    clip = decode(video(f"trimmed_{start}.mp4"), config.spec(), config, clips.root)
    assert numbers(clip, number_of) == list(range(start, start + 20))
    assert (clip.duration, clip.native_fps) == (2.0, 10.0)


def test_sound_is_ignored(clips, small, video, number_of):
    name = clips.make("sound.mp4", 30, sound=True)
    assert numbers(decode(video(name), small.spec(), small, clips.root), number_of)[-1] == 29


def test_titles_in_old_encodings_do_no_harm(clips, small, video, number_of):
    name = clips.make("h264.mkv", 30, **FORMATS["h264.mkv"])
    data = (clips.root / name).read_bytes()
    assert b"Lavf" in data
    (clips.root / "latin1.mkv").write_bytes(data.replace(b"Lavf", b"\xe9\xe8\xcc\xff"))
    clip = decode(video("latin1.mkv"), small.spec(), small, clips.root)
    assert number_of(clip.frames[-1]) == 29


def test_probe_says_what_a_file_holds_without_decoding(clips, small):
    name = clips.make("h264.mp4", 30, **FORMATS["h264.mp4"])
    source = probe(name, small, clips.root)
    assert (source.frames, source.rate, source.duration) == (30, 10.0, 3.0)
    assert source.truncated_at is None


# ------------------------------------------------------------------------- cuts


def test_a_cut_shows_its_pieces_and_black_between(clips, make_config, number_of):
    name = clips.make("h264.mp4", 30, **FORMATS["h264.mp4"])
    config = make_config(nframes=20)
    media = Media(MediaType.VIDEO, Cut((Span(name, 0.0, 0.5), Black(0.6), Span(name, 2.0, 2.9))))
    clip = decode(media, config.spec(), config, clips.root)
    assert numbers(clip, number_of) == [*range(5), *([0] * 6), *range(20, 29)]
    assert not clip.frames[5:11].any()
    assert clip.duration == pytest.approx(2.0)
    assert np.allclose(clip.timestamps, np.arange(20) / 10)


def test_the_edge_of_a_piece_leaks_no_neighbouring_frame(clips, make_config, number_of):
    """Edges between frames: [0.55, 1.05) holds frames 6 to 10 and nothing else."""
    name = clips.make("h264.mp4", 30, **FORMATS["h264.mp4"])
    config = make_config(nframes=10)
    media = Media(MediaType.VIDEO, Cut((Span(name, 0.55, 1.05), Span(name, 2.0, 2.5))))
    shown = numbers(decode(media, config.spec(), config, clips.root), number_of)
    assert set(shown[:5]) <= {6, 7, 8, 9, 10}
    assert shown[5:] == [20, 21, 22, 23, 24]


def test_two_sources_alternate_and_keep_their_shapes(clips, make_config, number_of):
    wide = clips.make("h264.mp4", 30, **FORMATS["h264.mp4"])  # 64 x 128
    square = clips.make("square.mp4", 30, size=(64, 64))
    config = make_config(nframes=4)
    media = Media(MediaType.VIDEO, Cut((Span(wide, 0, 0.2), Span(square, 1.0, 1.2))))
    clip = decode(media, config.spec(), config, clips.root)
    assert numbers(clip, number_of)[:2] == [0, 1]
    size = clip.frames.shape[2:]
    inner = clip.frames[2][:, :, (size[1] - size[1] // 2) // 2 :][:, :, : size[1] // 2]
    assert number_of(inner) == 10
    bars = np.concatenate([clip.frames[2][:, :, :30], clip.frames[2][:, :, -30:]], axis=2)
    assert bars.mean() < 2  # letters, not stretched


def test_a_cut_may_begin_black(clips, make_config, number_of):
    name = clips.make("h264.mp4", 30, **FORMATS["h264.mp4"])
    config = make_config(nframes=4)
    media = Media(MediaType.VIDEO, Cut((Black(0.2), Span(name, 1.0, 1.2))))
    clip = decode(media, config.spec(), config, clips.root)
    assert not clip.frames[:2].any()
    assert numbers(clip, number_of)[2:] == [10, 11]


# ------------------------------------------------------------------------- size


def test_a_clip_at_its_target_size_is_not_rescaled(clips, make_config, video):
    """The synthetic world: 56 x 56, patch grid 28; colours survive the codec, edges stay."""
    frame = np.zeros((56, 56, 3), np.uint8)
    frame[10:20, 30:44] = (200, 40, 90)
    name = clips.make("tiny.mp4", [frame] * 16, options={"crf": "1"}, pixels="yuv444p")
    config = make_config(nframes=16, max_pixels=56 * 56)
    clip = decode(video(name), config.spec(), config, clips.root)
    assert clip.frames.shape == (16, 3, 56, 56)
    error = np.abs(clip.frames.astype(int) - frame.transpose(2, 0, 1)[None])
    assert error.max() <= 4


@pytest.mark.parametrize("size", [(65, 127), (33, 35), (90, 50)])
def test_odd_sizes(clips, small, video, number_of, size):
    name = clips.make(f"odd_{size[0]}.mkv", 16, size=size, codec="ffv1", pixels="yuv444p")
    clip = decode(video(name), small.spec(), small, clips.root)
    assert numbers(clip, number_of) == [0, 2, 4, 6, 9, 11, 13, 15]
    assert all(side % 28 == 0 for side in clip.frames.shape[2:])


def test_pixels_that_are_not_square_are_made_square(clips, make_config, video):
    def anamorphic(stream):
        stream.codec_context.sample_aspect_ratio = Fraction(2, 1)

    name = clips.make("anamorphic.mp4", 16, size=(112, 112), prepare=anamorphic)
    config = make_config(max_pixels=112 * 224)
    clip = decode(video(name), config.spec(), config, clips.root)
    assert clip.frames.shape[2:] == (112, 224)


# ----------------------------------------------------------------------- colour

PRIMARY = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (40, 40, 210), "grey": (128,) * 3}


@pytest.mark.parametrize("matrix", ["bt709", "bt601", "full"])
@pytest.mark.parametrize("name", PRIMARY)
def test_colours_come_back_whatever_matrix_and_range(clips, small, video, matrix, name):
    picture = np.full((56, 56, 3), PRIMARY[name], np.uint8)
    space = Colorspace.ITU601 if matrix == "bt601" else Colorspace.ITU709
    full = matrix == "full"

    def tagged(path):
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=10, options={"crf": "4"})
            stream.height = stream.width = 56
            stream.pix_fmt = "yuv420p"
            context = stream.codec_context
            context.colorspace, context.color_range = int(space), 2 if full else 1
            for _ in range(8):
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(
                    format="yuv420p", dst_colorspace=space, dst_color_range=2 if full else 1
                )
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))

    file = clips.root / f"{name}_{matrix}.mp4"
    tagged(file)
    clip = decode(video(file.name), small.spec(), small, clips.root)
    middle = clip.frames[:, :, 14:42, 14:42].mean(axis=(0, 2, 3))
    assert np.abs(middle - PRIMARY[name]).max() <= 4, middle


@pytest.mark.parametrize("pixels", ["yuv420p10le", "yuv422p10le", "yuv444p", "yuv422p"])
def test_other_depths_and_samplings_become_eight_bits(clips, small, video, number_of, pixels):
    options = {"x265-params": "log-level=none"}
    name = clips.make(f"{pixels}.mkv", 16, codec="libx265", pixels=pixels, options=options)
    clip = decode(video(name), small.spec(), small, clips.root)
    assert clip.frames.dtype == np.uint8
    assert numbers(clip, number_of) == [0, 2, 4, 6, 9, 11, 13, 15]


@pytest.mark.parametrize(
    ("curve", "code", "shown"),
    [
        (ColorTrc.SMPTE2084, 0.5806, (238, 250)),  # 203 cd/m2, diffuse white
        (ColorTrc.SMPTE2084, 0.4109, (118, 132)),  # 36.5 cd/m2, a mid grey
        (ColorTrc.SMPTE2084, 0.0, (0, 1)),
        (ColorTrc.ARIB_STD_B67, 0.75, (238, 250)),  # BT.2408's diffuse white
        (ColorTrc.ARIB_STD_B67, 0.0, (0, 1)),
        (ColorTrc.ARIB_STD_B67, 1.0, (254, 255)),
    ],
)
def test_high_dynamic_range_is_shown_as_a_display_would(clips, small, video, curve, code, shown):
    """Grey of a known signal level, written as 10-bit HEVC in BT.2020."""
    level = round(code * 876) + 64  # limited range
    file = clips.root / f"hdr_{curve.name}_{level}.mkv"
    with av.open(str(file), "w") as container:
        params = "log-level=none:range=limited"
        stream = container.add_stream("libx265", rate=10, options={"x265-params": params})
        stream.height = stream.width = 56
        stream.pix_fmt = "yuv420p10le"
        context = stream.codec_context
        context.color_trc, context.color_primaries = int(curve), int(ColorPrimaries.BT2020)
        context.colorspace, context.color_range = int(Colorspace.BT2020), 1
        for _ in range(8):
            frame = av.VideoFrame(56, 56, "yuv420p10le")
            frame.color_range, frame.colorspace = 1, int(Colorspace.BT2020)
            for plane, value in zip(frame.planes, (level, 512, 512), strict=True):
                plane.update(np.full(plane.buffer_size // 2, value, "<u2").tobytes())
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    clip = decode(video(file.name), small.spec(), small, clips.root)
    middle = clip.frames[:, :, 14:42, 14:42].astype(float)
    low, high = shown
    assert low <= middle.mean() <= high
    assert np.abs(middle - middle.mean()).max() <= 2  # grey stays grey
