"""Atomic writer of H.264 mp4 files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kinograd.files import atomic_path

FPS = 4
"""At four frames per second a pair of frames (one temporal patch) lasts half a second:
one step of Qwen2.5-VL's temporal position (2 tokens per second)."""


def write_mp4(path: Path, frames: np.ndarray, fps: int = FPS) -> None:
    """Encode uint8 (T, H, W, 3) RGB frames: H.264, yuv420p, QP 18; replaces ``path``.

    The bytes are the same on every run of one build of x264.
    """
    import av

    # Intra frames only, at one quality: predicted frames would carry traces of those before
    # them, hence the temporal order that some questions ask for. One thread: same bytes.
    with (
        atomic_path(path, durable=False) as partial,
        av.open(str(partial), "w", format="mp4") as container,
    ):
        stream = container.add_stream("libx264", rate=fps)
        stream.width, stream.height = frames.shape[2], frames.shape[1]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        stream.codec_context.options = {"preset": "ultrafast", "qp": "18", "g": "1"}
        for image in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
