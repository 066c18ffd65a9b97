"""Seeking gives what a plain decode gives: its frames, in its order, at its times.

Over codecs, containers, lengths of groups of pictures, B-frames and times; and over files
whose containers say what is not so.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from kinograd.types import Cut, Media, MediaType
from kinograd.video.decode import decode
from kinograd.video.faults import ClipError, ClipFault
from kinograd.video.video_file import VideoFile

N = 26
X265 = "log-level=none:keyint={g}:min-keyint={g}:scenecut=0:bframes={b}:open-gop={o}"
H264 = "keyint={g}:min-keyint={g}:scenecut=0:bframes={b}:open-gop={o}:b-adapt=0"
VARIABLE = [0, 1, 2, 9, 10, 11, 30, 31, *range(40, 40 + 2 * (N - 8), 2)]
"""Uneven times in tenths of a second, for containers that keep times."""

SHAPES = [(7, 0, 0, False), (7, 2, 1, False), (26, 3, 0, False), (7, 2, 1, True)]
CASES = [
    (codec, container, gop, b, open_, variable)
    for codec, containers in [
        ("libx264", ("mp4", "mkv", "avi", "ts", "flv", "mov", "asf", "h264")),
        ("libx265", ("mp4", "mkv", "ts")),
        ("mpeg4", ("avi", "mp4", "mkv")),
        ("mpeg2video", ("mpg", "ts", "avi", "mkv")),
        ("libvpx-vp9", ("webm", "mp4")),
        ("libvpx", ("webm", "avi")),
        ("libsvtav1", ("mkv", "mp4")),
        ("mjpeg", ("avi", "mov")),
        ("wmv2", ("asf", "avi")),
    ]
    for container in containers
    for gop, b, open_, variable in SHAPES
    if not (b and codec in ("libvpx-vp9", "libvpx", "libsvtav1", "mjpeg", "wmv2"))
    if not (variable and container not in ("mp4", "mkv", "mov", "ts", "webm"))
]  # fmt: skip


def options(codec: str, gop: int, b: int, open_: int) -> dict[str, str]:
    if codec == "libx264":
        return {"x264-params": H264.format(g=gop, b=b, o=open_)}
    if codec == "libx265":
        return {"x265-params": X265.format(g=gop, b=b, o=open_)}
    if codec in ("mpeg4", "mpeg2video"):
        return {"g": str(gop), "bf": str(b)}
    return {"g": str(gop)} if codec.startswith(("libvpx", "libsvt", "wmv")) else {}


def plain(file: Path) -> list[np.ndarray]:
    with av.open(str(file)) as container:
        return [f.to_ndarray(format="gray") for f in container.decode(video=0)]


def sought(file: Path, config, places: list[int]) -> dict[int, np.ndarray]:
    with VideoFile(file, file.name, config) as opened:
        return {p: f.to_ndarray(format="gray") for p, f in opened.frames_at(places)}


def check(file: Path, config, frames: int | None = None) -> None:
    """Every frame alone, some together, all together: each is the plain decode's."""
    want = plain(file)
    assert len(want) == (frames or len(want))
    with VideoFile(file, file.name, config) as opened:
        assert opened.index.frames == len(want)
    alone = [[p] for p in (0, 1, len(want) // 2, len(want) - 2, len(want) - 1)]
    some = [list(range(1, len(want), 5)), [3, 4, len(want) - 3], list(range(len(want)))]
    for places in (*alone, *some):
        found = sought(file, config, places)
        assert sorted(found) == sorted(set(places))
        for place, frame in found.items():
            assert np.array_equal(frame, want[place]), (place, places)


@pytest.mark.parametrize(("codec", "container", "gop", "b", "open_", "variable"), CASES)
@pytest.mark.parametrize("kept", [True, False], ids=["in memory", "on disk"])
def test_seeking_is_a_plain_decode(
    clips, small, monkeypatch, codec, container, gop, b, open_, variable, kept
):
    if not kept:
        monkeypatch.setattr("kinograd.video.video_file.KEEP_BYTES", 0)
    name = f"seek_{codec}_{gop}_{b}_{open_}_{variable}.{container}"
    clips.make(
        name,
        N,
        codec=codec,
        pixels="yuvj420p" if codec == "mjpeg" else "yuv420p",
        options=options(codec, gop, b, open_),
        **({"pts": VARIABLE, "time_base": Fraction(1, 10)} if variable else {}),
    )
    check(clips.root / name, small)
    if variable:
        with VideoFile(clips.root / name, name, small) as opened:
            gaps = opened.index.shown() * 10
        assert np.allclose(gaps, np.array(VARIABLE) - VARIABLE[0], atol=0.02)


# ------------------------------------------------- containers that say what is not so


def remux(source: Path, target: Path, change) -> None:
    """A stream copy; ``change`` is given the packets and returns those to write."""
    with av.open(str(source)) as inp, av.open(str(target), "w") as out:
        stream = inp.streams.video[0]
        copied = out.add_stream_from_template(stream)
        for packet in change([p for p in inp.demux(stream) if p.size]):
            packet.stream = copied
            out.mux(packet)


def without_sync_table(data: bytes) -> bytes:
    """An mp4 that calls every sample a sync sample: it has no ``stss`` box."""
    at = data.index(b"stss")
    return data[:at] + b"free" + data[at + 4 :]


@pytest.mark.parametrize("codec", ["libx264", "libx265", "mpeg4"])
@pytest.mark.parametrize("b", [0, 2])
def test_false_keyframes_are_no_entries(clips, small, codec, b):
    name = clips.make(f"keys_{codec}_{b}.mp4", N, codec=codec, options=options(codec, 8, b, 0))
    file = clips.root / f"no_stss_{codec}_{b}.mp4"
    file.write_bytes(without_sync_table((clips.root / name).read_bytes()))
    check(file, small, N)


@pytest.mark.parametrize("codec", ["libx264", "libx265", "mpeg2video", "mpeg4"])
@pytest.mark.parametrize("skipped", [1, 3, "keyframe"])
def test_a_start_that_cannot_be_decoded_is_left_out(clips, make_config, number_of, codec, skipped):
    """A stream copy from the middle: nothing is shown that refers to what was cut away."""
    name = clips.make(f"long_{codec}.mp4", 40, codec=codec, options=options(codec, 10, 3, 1))
    first: list[int] = []

    def middle(packets: list) -> list:
        keys = [i for i, p in enumerate(packets) if p.is_keyframe]
        start = keys[1] if skipped == "keyframe" else skipped
        first.append(
            round(next(p.pts * p.time_base for p in packets[start:] if p.is_keyframe) * 10)
        )
        return packets[start:]

    target = clips.root / f"cut_{codec}_{skipped}.mkv"
    remux(clips.root / name, target, middle)
    config = make_config(nframes=8)
    clip = decode(Media(MediaType.VIDEO, Cut.whole(target.name)), config.spec(), config, clips.root)
    shown = [number_of(frame) for frame in clip.frames]
    assert shown[0] == first[0]
    assert shown == sorted(shown)
    assert shown[-1] == 39
    assert clip.damaged is not None
    assert "cannot be decoded" in clip.damaged


DIVX = b"\x00\x00\x01\xb2DivX503b1393p\x00"
"""User data by which decoders know packed streams."""


def with_data(packet: av.Packet, before: bytes = b"", after: bytes = b"") -> av.Packet:
    made = av.Packet(before + bytes(packet) + after)
    made.pts, made.dts, made.time_base = packet.pts, packet.dts, packet.time_base
    made.is_keyframe = packet.is_keyframe
    return made


def packed(packets: list) -> list:
    """MPEG-4 as DivX packs it: a B-picture rides with the one before it, then an empty one."""
    out = [with_data(packets.pop(0), DIVX)]
    empty = b"\x00\x00\x01\xb6\x50"  # a P-VOP that is not coded
    for packet in packets:
        coding = bytes(packet)[bytes(packet).index(b"\x00\x00\x01\xb6") + 4] >> 6
        if coding == 2 and out:
            out[-1] = with_data(out[-1], after=bytes(packet))
            empty_ = av.Packet(empty)
            empty_.pts, empty_.dts, empty_.time_base = packet.pts, packet.dts, packet.time_base
            out.append(empty_)
        else:
            out.append(packet)
    return out


def test_a_packed_bitstream_is_in_order(clips, small):
    name = clips.make("unpacked.avi", N, codec="mpeg4", options={"g": "26", "bf": "1"})
    remux(clips.root / name, clips.root / "packed.avi", packed)
    check(clips.root / "packed.avi", small)


def test_millions_of_packets_are_refused(clips, small, monkeypatch):
    monkeypatch.setattr("kinograd.video.video_file._MAX_PACKETS", 20)
    name = clips.make("h264.mp4", 30)
    with pytest.raises(ClipError) as caught:
        VideoFile(clips.root / name, name, small)
    assert caught.value.reason is ClipFault.TOO_LONG


def hidden(packets: list) -> list:
    """VP9 as some muxers store it: each keyframe hidden, and then shown by number."""
    out = []
    for packet in packets:
        parts = [bytes(packet)]
        if packet.is_keyframe and packet.pts:
            parts = [bytes([parts[0][0] & ~2]) + parts[0][1:], b"\x88"]
        for number, part in enumerate(parts):
            made = av.Packet(part)
            made.pts = made.dts = len(out)
            made.time_base, made.is_keyframe = Fraction(1, 10), packet.is_keyframe and not number
            out.append(made)
    return out


def test_hidden_pictures_are_no_frames(clips, small):
    """Matroska and mp4 pack them with the next picture; AVI does not."""
    options = {"g": "10", "lag-in-frames": "0"}
    name = clips.make("keys.webm", N, codec="libvpx-vp9", options=options)
    remux(clips.root / name, clips.root / "hidden.avi", hidden)
    check(clips.root / "hidden.avi", small, N)
