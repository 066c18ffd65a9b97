"""A decoder process: reads tasks from a socket, answers with clips, dies with its parent.

Started as ``python -m kinograd.video.worker FD`` and not through multiprocessing, which
would import the caller's main module (and its torch) first and needs a guard in every
script. A crash or a hang here costs one clip.

Messages: the first is the set-up, then one JSON task each; an answer is a JSON head,
followed by the frames as raw bytes when the clip is not left in the disk cache.
"""

from __future__ import annotations

import json
import sys
import traceback
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from kinograd.config.video import VideoConfig
from kinograd.types import Clip, VideoSpec
from kinograd.video.cut import media_from_json
from kinograd.video.decode import decode
from kinograd.video.disk import DiskCache
from kinograd.video.faults import ClipError, ClipFault


def serve(connection: Connection) -> None:
    """Answers tasks in order until the parent closes the socket."""
    setup = json.loads(connection.recv_bytes())
    config, spec = VideoConfig(**setup["config"]), VideoSpec(**setup["spec"])
    cache = open_cache(config)
    connection.send_bytes(b"ready")
    while True:
        task = json.loads(connection.recv_bytes())
        try:
            clip = decode(media_from_json(task["media"]), spec, config, setup["media_root"])
            if cache is not None:
                cache.save(task["key"], clip)
        except ClipError as error:
            connection.send_bytes(json.dumps({"error": error.to_json()}).encode())
        except Exception as error:  # noqa: BLE001 - foreign code (codecs), reported
            traceback.print_exc()
            connection.send_bytes(json.dumps({"error": _crash(task, error)}).encode())
        else:
            _answer(connection, clip, stored=cache is not None)


def open_cache(config: VideoConfig) -> DiskCache | None:
    """The disk cache that ``config`` names, if any."""
    if config.cache_dir is None:
        return None
    return DiskCache(
        config.cache_dir,
        int(config.cache_gb * 1e9),
        config.cache_frames == "jpeg",
        claim_s=2 * config.timeout_s,
    )


def _answer(connection: Connection, clip: Clip, stored: bool) -> None:
    head: dict[str, Any] = {"stored": stored}
    if not stored:
        head |= {
            "shape": clip.frames.shape,
            "timestamps": clip.timestamps.tolist(),
            "native_fps": clip.native_fps,
            "fps": clip.fps,
            "duration": clip.duration,
            "damaged": clip.damaged,
        }
    connection.send_bytes(json.dumps(head).encode())
    if not stored:
        connection.send_bytes(np.ascontiguousarray(clip.frames).data.cast("B"))


def _crash(task: dict[str, Any], error: Exception) -> dict[str, Any]:
    segments = task["media"].get("cut", [task["media"]])
    path = next(s["path"] for s in segments if "path" in s)
    detail = f"the decoder failed: {type(error).__name__}: {error}"
    return ClipError(ClipFault.CRASHED, path, detail).to_json()


if __name__ == "__main__":
    with suppress(EOFError, ConnectionError):  # the parent is gone
        serve(Connection(int(sys.argv[1])))
