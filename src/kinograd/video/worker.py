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

import numpy as np

from kinograd.config.video import VideoConfig
from kinograd.types import VideoSpec
from kinograd.video.cut import media_from_json
from kinograd.video.decode import decode
from kinograd.video.disk import DiskCache, facts_of
from kinograd.video.faults import ClipError, ClipFault


def serve(connection: Connection) -> None:
    """Answers tasks in order until the parent closes the socket."""
    setup = json.loads(connection.recv_bytes())
    config, spec = VideoConfig(**setup["config"]), VideoSpec(**setup["spec"])
    cache = open_cache(config)
    connection.send_bytes(b"ready")
    while True:
        task = json.loads(connection.recv_bytes())
        media, frames = media_from_json(task["media"]), None
        try:
            clip = decode(media, spec, config, setup["media_root"])
            if cache is not None:
                cache.save(task["key"], clip)
                head = {"stored": True}
            else:
                frames = np.ascontiguousarray(clip.frames)
                times = clip.timestamps.tolist()
                head = facts_of(clip) | {"shape": frames.shape, "timestamps": times}
        except ClipError as error:
            head = {"error": vars(error)}
        except Exception as error:  # noqa: BLE001 - foreign code (codecs), reported
            traceback.print_exc()
            why = f"the decoder failed: {type(error).__name__}: {error}"
            head = {"error": vars(ClipError(ClipFault.CRASHED, media.cut.paths[0], why))}
        connection.send_bytes(json.dumps(head).encode())
        if frames is not None:
            connection.send_bytes(frames.data.cast("B"))


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


if __name__ == "__main__":
    with suppress(EOFError, ConnectionError):  # the parent is gone
        serve(Connection(int(sys.argv[1])))
