"""Bad input: each a ClipError of its own with a message that says what to do."""

from __future__ import annotations

import http.server
import json
import os
import threading

import numpy as np
import pytest
from PIL import Image

from kinograd.types import Black, Cut, Media, MediaType, Span
from kinograd.video.decode import ClipError, ClipFault, decode

FASTSTART = {"movflags": "faststart"}


def fault(media: Media, config, root) -> ClipError:
    with pytest.raises(ClipError) as caught:
        decode(media, config.spec(), config, root)
    error = caught.value
    assert str(error).endswith(f"[{error.reason.value}]")
    assert error.detail
    copy = ClipError(**json.loads(json.dumps(vars(error))))
    assert (str(copy), copy.reason, copy.at_seconds) == (str(error), error.reason, error.at_seconds)
    return error


# ------------------------------------------------------------------------ paths


def test_a_missing_file(small, video, tmp_path):
    error = fault(video("no.mp4"), small, tmp_path)
    assert error.reason is ClipFault.MISSING
    assert error.path == "no.mp4"
    assert "data.media_root" in error.detail


def test_a_directory(small, video, tmp_path):
    (tmp_path / "folder.mp4").mkdir()
    assert fault(video("folder.mp4"), small, tmp_path).reason is ClipFault.NOT_A_FILE


def test_a_pipe_is_refused_before_anybody_reads_it(small, video, tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    assert fault(video("pipe.mp4"), small, tmp_path).reason is ClipFault.NOT_A_FILE


def test_no_bytes(small, video, tmp_path):
    (tmp_path / "empty.mp4").touch()
    assert fault(video("empty.mp4"), small, tmp_path).reason is ClipFault.EMPTY


def test_a_text_file(small, video, tmp_path):
    (tmp_path / "text.mp4").write_text("hello\n" * 100)
    assert fault(video("text.mp4"), small, tmp_path).reason is ClipFault.NOT_MEDIA


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything [hardware]")
def test_an_unreadable_file(small, video, clips, tmp_path):
    name = clips.make("ok.mp4", 16)
    file = tmp_path / "locked.mp4"
    file.write_bytes((clips.root / name).read_bytes())
    file.chmod(0)
    assert fault(video("locked.mp4"), small, tmp_path).reason is ClipFault.PERMISSION


def test_an_unreadable_file_as_the_system_reports_it(small, video, clips, tmp_path, monkeypatch):
    """The same for root, who may read everything: the system's answer is given."""
    file = tmp_path / "locked.mp4"
    file.write_bytes(b"x")
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert fault(video("locked.mp4"), small, tmp_path).reason is ClipFault.PERMISSION


@pytest.mark.parametrize("path", ["../out.mp4", "sub/../../out.mp4", "{root}/out.mp4", "link.mp4"])
def test_no_path_leaves_the_media_root(small, video, clips, tmp_path, path):
    name = clips.make("ok.mp4", 16)
    (tmp_path / "out.mp4").write_bytes((clips.root / name).read_bytes())
    root = tmp_path / "media"
    (root / "sub").mkdir(parents=True)
    (root / "link.mp4").symlink_to(tmp_path / "out.mp4")
    error = fault(video(path.format(root=tmp_path)), small, root)
    assert error.reason is ClipFault.OUTSIDE_ROOT
    assert str(root) in error.detail


def test_paths_that_stay_inside_are_taken(small, video, clips, tmp_path, number_of):
    name = clips.make("ok.mp4", 16)
    (tmp_path / "real.mp4").write_bytes((clips.root / name).read_bytes())
    (tmp_path / "link.mp4").symlink_to(tmp_path / "real.mp4")
    (tmp_path / "sub").mkdir()
    for path in ("link.mp4", "sub/../real.mp4", str(tmp_path / "real.mp4")):
        clip = decode(video(path), small.spec(), small, tmp_path)
        assert number_of(clip.frames[-1]) == 15


@pytest.mark.parametrize("path", ["a" * 5000, "x\0y", "loop"])
def test_names_that_no_file_can_have(small, video, tmp_path, path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert fault(video(path), small, tmp_path).reason is ClipFault.MISSING


@pytest.mark.parametrize(
    "url", ["http://host/a.mp4", "https://host/a", "file:///a.mp4", "s3://b/a"]
)
def test_urls_are_refused(small, video, tmp_path, url):
    error = fault(video(url), small, tmp_path)
    assert error.reason is ClipFault.URL
    assert "allow_urls" in error.detail


@pytest.fixture
def server(clips):
    clips.make("ok.mp4", 16)

    class Handler(http.server.SimpleHTTPRequestHandler):
        asked: list[str] = []

        def do_GET(self):
            Handler.asked.append(self.path)
            if self.path == "/elsewhere":
                self.send_response(302)
                self.send_header("Location", "file:///etc/passwd")
                self.end_headers()
            else:
                super().do_GET()

        def log_message(self, *_):
            pass

    def handler(*args):
        return Handler(*args, directory=str(clips.root))

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as serving:
        threading.Thread(target=serving.serve_forever, args=[0.01], daemon=True).start()
        yield f"http://127.0.0.1:{serving.server_port}", Handler.asked
        serving.shutdown()


def test_allowed_urls_are_downloaded_once(server, make_config, video, tmp_path, number_of):
    address, asked = server
    config = make_config(allow_urls=True, cache_dir=str(tmp_path))
    for _ in range(2):
        clip = decode(video(f"{address}/ok.mp4"), config.spec(), config, tmp_path)
        assert number_of(clip.frames[-1]) == 15
    assert asked == ["/ok.mp4"]
    assert fault(video(f"{address}/no.mp4"), config, tmp_path).reason is ClipFault.MISSING
    assert fault(video(f"{address}/elsewhere"), config, tmp_path).reason is ClipFault.MISSING
    assert fault(video("ftp://127.0.0.1/a.mp4"), config, tmp_path).reason is ClipFault.URL
    small = config.model_copy(update={"max_source_bytes": 100})
    assert fault(video(f"{address}/ok.mp4?again"), small, tmp_path).reason is (
        ClipFault.TOO_MANY_BYTES
    )
    assert not list(tmp_path.rglob("*.partial"))


def test_a_playlist_named_mp4_names_no_other_file(small, video, clips, tmp_path):
    """FFmpeg would follow it to any file or address; playlists are not among our formats."""
    name = clips.make("ok.mp4", 16)
    (tmp_path / "other.ts").write_bytes((clips.root / name).read_bytes())
    for text in (
        "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nother.ts\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile other.ts\n",
    ):
        (tmp_path / "list.mp4").write_text(text)
        assert fault(video("list.mp4"), small, tmp_path).reason is ClipFault.NOT_MEDIA


# ------------------------------------------------------------------------ limits


@pytest.mark.parametrize(
    ("limit", "reason"),
    [
        ({"max_source_bytes": 100}, ClipFault.TOO_MANY_BYTES),
        ({"max_source_pixels": 1000}, ClipFault.TOO_MANY_PIXELS),
        ({"max_duration_s": 1.0}, ClipFault.TOO_LONG),
    ],
)
@pytest.mark.parametrize("name", ["ok.mp4", "ok.mkv", "ok.ts"])
def test_limits_hold_before_anything_is_decoded(clips, make_config, video, limit, reason, name):
    clips.make(name, 16)
    config = make_config(**limit)
    error = fault(video(name), config, clips.root)
    assert error.reason is reason
    assert f"video.{next(iter(limit))}" in error.detail


def test_sound_alone(clips, small, video):
    import av

    with av.open(str(clips.root / "sound.m4a.mp4"), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=16000)
        stream.layout = "mono"
        frame = av.AudioFrame(format="fltp", layout="mono", samples=1024)
        frame.sample_rate, frame.pts = 16000, 0
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert fault(video("sound.m4a.mp4"), small, clips.root).reason is ClipFault.NO_VIDEO


def test_one_frame(clips, small, video):
    error = fault(video(clips.make("one.mp4", 1)), small, clips.root)
    assert error.reason is ClipFault.TOO_FEW_FRAMES
    assert "drop the clip" in error.detail


def test_one_pixel(clips, small, video):
    name = clips.make("dot.mkv", 16, size=(1, 1), codec="ffv1", pixels="yuv444p")
    assert fault(video(name), small, clips.root).reason is ClipFault.TOO_SMALL


def test_a_film_two_hundred_times_as_wide_as_high(clips, small, video):
    name = clips.make("line.mkv", 16, size=(4, 804), codec="ffv1", pixels="yuv444p")
    error = fault(video(name), small, clips.root)
    assert error.reason is ClipFault.ASPECT
    assert "201:1" in error.detail


@pytest.mark.parametrize(
    "span", [Span("ok.mp4", 2.0), Span("ok.mp4", 0.0, 2.0), Span("ok.mp4", 1.0, 0.5)]
)
def test_a_cut_that_its_source_cannot_give(clips, small, span):
    clips.make("ok.mp4", 16)
    media = Media(MediaType.VIDEO, Cut((Span("ok.mp4", 0, 1), span)))
    error = fault(media, small, clips.root)
    assert error.reason is ClipFault.BAD_CUT
    assert "segment 1" in error.detail


# ------------------------------------------------------------------------ damage


def halved(clips, name: str, share: float, **make) -> str:
    source = clips.root / clips.make(name, 30, **make)
    data = source.read_bytes()
    out = f"{share}_{name}"
    (clips.root / out).write_bytes(data[: int(len(data) * share)])
    return out


CONTAINERS = {
    "fast.mp4": {"container_options": FASTSTART},
    "cut.mkv": {"options": {"g": "10"}},
    "cut.webm": {"codec": "libvpx-vp9", "options": {"cpu-used": "8"}},
    "cut.avi": {"codec": "mpeg4"},
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_a_file_that_was_cut_off_is_noticed(clips, small, make_config, video, number_of, name):
    short = halved(clips, name, 0.8, **CONTAINERS[name])
    error = fault(video(short), small, clips.root)
    assert error.reason in (ClipFault.TRUNCATED, ClipFault.DAMAGED)
    assert 0.5 < error.at_seconds < 3.0
    assert "on_damage" in error.detail
    partial = make_config(on_damage="partial")
    clip = decode(video(short), partial.spec(), partial, clips.root)
    shown = [number_of(f) for f in clip.frames]
    assert shown[0] == 0
    assert np.all(np.diff(shown) >= 1), shown
    assert shown[-1] == round(clip.duration * 10) - 1  # the whole of what is readable
    assert error.at_seconds >= clip.duration - 0.01
    assert clip.damaged.startswith(("truncated at ", "damaged at "))


def test_an_mp4_without_its_index_is_an_incomplete_download(clips, small, make_config, video):
    name = halved(clips, "index_last.mp4", 0.8)
    assert fault(video(name), small, clips.root).reason is ClipFault.TRUNCATED
    partial = make_config(on_damage="partial")
    assert fault(video(name), partial, clips.root).reason is ClipFault.TRUNCATED


def test_damage_has_a_place_and_is_not_passed_over(clips, small, make_config, video, number_of):
    """The middle of the file is overwritten; frames before it can be used if allowed."""
    source = clips.root / clips.make("g5.mkv", 40, codec="mpeg4", options={"g": "5", "q": "2"})
    data = bytearray(source.read_bytes())
    middle = len(data) // 2
    data[middle : middle + len(data) // 8] = bytes(len(data) // 8)
    (clips.root / "holed.mkv").write_bytes(data)
    error = fault(video("holed.mkv"), small, clips.root)
    assert error.reason in (ClipFault.DAMAGED, ClipFault.TRUNCATED)
    assert 1.0 < error.at_seconds < 3.0
    partial = make_config(on_damage="partial")
    clip = decode(video("holed.mkv"), partial.spec(), partial, clips.root)
    shown = [number_of(f) for f in clip.frames]
    assert shown == sorted(shown)
    assert clip.duration <= error.at_seconds + 0.01


def test_a_cut_of_several_pieces_is_never_shortened(clips, make_config):
    name = halved(clips, "fast.mp4", 0.8, **CONTAINERS["fast.mp4"])
    partial = make_config(on_damage="partial")
    media = Media(MediaType.VIDEO, Cut((Span(name, 0, 0.5), Black(0.5))))
    assert fault(media, partial, clips.root).reason is ClipFault.TRUNCATED


# ------------------------------------------------------------------------ images


def test_images_that_cannot_be_read(clips, small, make_config, tmp_path):
    def image(path):
        return Media(MediaType.IMAGE, Cut.whole(path))

    Image.new("RGB", (64, 48), (10, 20, 30)).save(tmp_path / "ok.png")
    data = (tmp_path / "ok.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(data[: len(data) // 2])
    (tmp_path / "text.png").write_text("no image")
    Image.new("RGB", (1, 201)).save(tmp_path / "line.png")
    assert fault(image("cut.png"), small, tmp_path).reason is ClipFault.NOT_MEDIA
    assert fault(image("text.png"), small, tmp_path).reason is ClipFault.NOT_MEDIA
    assert fault(image("line.png"), small, tmp_path).reason is ClipFault.ASPECT
    assert fault(image("../x.png"), small, tmp_path).reason is ClipFault.OUTSIDE_ROOT
    tight = make_config(max_source_pixels=100)
    assert fault(image("ok.png"), tight, tmp_path).reason is ClipFault.TOO_MANY_PIXELS
