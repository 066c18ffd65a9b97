"""Identity of source files and decoded clips, independent of their place."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from kinograd.files import digest_ends, digest_json
from kinograd.types import Media, Span, VideoSpec
from kinograd.video.paths import is_url, resolve

if TYPE_CHECKING:
    from kinograd.config.video import VideoConfig


def fingerprint(file: Path) -> str:
    """Return 32 hex digits from a file's size, time of change, first and last 64 KiB.

    A video moved within a disk keeps its fingerprint; an edited one changes it.
    """
    return digest_ends(file, os.stat(file).st_mtime_ns)


def clip_key(
    media: Media, spec: VideoSpec, config: VideoConfig, media_root: str | Path, decoder: str
) -> str:
    """Return 40 hex digits that change with anything that could change a clip's pixels.

    Args:
        decoder: version of the decoding code and of the libraries under it.

    Raises:
        ClipError: if a source cannot be found.
    """
    prints = {path: _print(path, config, media_root) for path in media.cut.paths}
    cut = [
        [prints[s.path], s.start, s.end] if isinstance(s, Span) else ["black", s.duration]
        for s in media.cut.segments
    ]
    parts = {
        "decoder": decoder,
        "type": media.type.value,
        "cut": cut,
        "spec": asdict(spec),
        "resize": config.resize,
        "on_damage": config.on_damage,
    }
    return digest_json(parts, 20)


def _print(path: str, config: VideoConfig, media_root: str | Path) -> str:
    # An address is fetched once, by the worker that decodes it and within its time limit. Its
    # content is not known before, and the training process must not wait for a server.
    if config.allow_urls and is_url(path):
        return f"url {path}"
    return fingerprint(resolve(path, media_root, config))
