"""Phones store films lying down: the display matrix turns and mirrors them."""

from __future__ import annotations

import struct
from fractions import Fraction
from io import BytesIO

import av
import numpy as np
import pytest
from PIL import Image

from kinograd.video.decode import decode

ONE = 1 << 16
# (a, b, c, d) of the matrix x' = a x + c y, y' = b x + d y -> the picture as numpy turns it
MATRICES = {
    "upright": ((ONE, 0, 0, ONE), lambda p: p),
    "clockwise": ((0, ONE, -ONE, 0), lambda p: np.rot90(p, -1)),
    "half": ((-ONE, 0, 0, -ONE), lambda p: np.rot90(p, 2)),
    "counter-clockwise": ((0, -ONE, ONE, 0), lambda p: np.rot90(p, 1)),
    "mirrored": ((-ONE, 0, 0, ONE), lambda p: p[:, ::-1]),
    "upside down": ((ONE, 0, 0, -ONE), lambda p: p[::-1]),
    "transposed": ((0, ONE, ONE, 0), lambda p: p.transpose(1, 0, 2)),
    "anti-transposed": ((0, -ONE, -ONE, 0), lambda p: np.rot90(p, 2).transpose(1, 0, 2)),
}


def turned(data: bytes, matrix: tuple[int, int, int, int]) -> bytes:
    """The same mp4 with another matrix in its track header (ISO 14496-12, 8.3.2)."""
    a, b, c, d = matrix
    at = data.index(b"tkhd") + 4 + 4 + 20 + 16
    return data[:at] + struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30) + data[at + 36 :]


@pytest.fixture(scope="session")
def corners() -> np.ndarray:
    """Four colours that tell every turn apart, 56 high and 112 wide."""
    colours = np.array([[[200, 30, 30], [30, 200, 30]], [[30, 30, 200], [200, 200, 30]]])
    return np.kron(colours, np.ones((28, 56, 1))).astype(np.uint8)


@pytest.mark.parametrize("name", MATRICES)
def test_films_are_shown_the_right_way_up(name, clips, make_config, video, corners):
    source = clips.make("corners.mp4", [corners] * 8, options={"crf": "4"}, pixels="yuv444p")
    matrix, turn = MATRICES[name]
    data = (clips.root / source).read_bytes()
    (clips.root / f"{name}.mp4").write_bytes(turned(data, matrix))
    config = make_config(max_pixels=56 * 112)
    clip = decode(video(f"{name}.mp4"), config.spec(), config, clips.root)
    want = turn(corners).transpose(2, 0, 1)
    assert clip.frames.shape[1:] == want.shape
    for row in (0.25, 0.75):
        for column in (0.25, 0.75):
            y, x = int(row * want.shape[1]), int(column * want.shape[2])
            assert np.abs(clip.frames[0, :, y, x].astype(int) - want[:, y, x]).max() < 12


def jpegs_with_exif(path, pictures: list[np.ndarray]) -> None:
    """A video of JPEG pictures with EXIF, as cameras write it."""
    exif = Image.Exif()
    exif[0x010F] = "maker"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mjpeg", rate=10)
        stream.height, stream.width, stream.pix_fmt = 56, 112, "yuvj420p"
        for number, picture in enumerate(pictures):
            blob = BytesIO()
            Image.fromarray(picture).save(blob, "JPEG", exif=exif, quality=95)
            packet = av.Packet(blob.getvalue())
            packet.pts = packet.dts = number
            packet.time_base, packet.is_keyframe, packet.stream = Fraction(1, 10), True, stream
            out.mux(packet)


# only mov and mp4 have a matrix
TURNS = [("mov", name) for name in ("upright", "clockwise", "half", "counter-clockwise")]


@pytest.mark.parametrize(("container", "name"), [*TURNS, ("avi", "upright"), ("mkv", "upright")])
def test_side_data_of_unknown_kinds_does_no_harm(tmp_path, small, video, corners, name, container):
    """FFmpeg attaches kinds that PyAV has no name for, and asking for any raises then."""
    file = tmp_path / f"exif.{container}"
    jpegs_with_exif(file, [corners] * 8)
    matrix, turn = MATRICES[name]
    if container == "mov":
        file.write_bytes(turned(file.read_bytes(), matrix))
    clip = decode(video(file.name), small.spec(), small, tmp_path)
    want = turn(corners).transpose(2, 0, 1)
    assert clip.frames.shape[2:] == want.shape[1:]
    assert np.abs(clip.frames[0].astype(int) - want).mean() < 12
