"""What identifies a source file and a decoded clip, independent of where they lie."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from kinograd.types import Media, Span, VideoSpec
from kinograd.video.paths import resolve

if TYPE_CHECKING:
    from kinograd.config.video import VideoConfig

_BLOCK = 64 << 10


def fingerprint(file: Path) -> str:
    """32 hex digits from a file's size, time of change, first and last 64 KiB.

    A film moved within a disk keeps its fingerprint, an edited one changes it; films of
    many gigabytes are not read through.
    """
    status = os.stat(file)
    digest = hashlib.blake2b(f"{status.st_size}:{status.st_mtime_ns}".encode(), digest_size=16)
    with open(file, "rb") as f:
        digest.update(f.read(_BLOCK))
        if status.st_size > _BLOCK:
            f.seek(max(_BLOCK, status.st_size - _BLOCK))
            digest.update(f.read(_BLOCK))
    return digest.hexdigest()


def clip_key(
    media: Media, spec: VideoSpec, config: VideoConfig, media_root: str | Path, decoder: str
) -> str:
    """40 hex digits that change with anything that could change a clip's pixels.

    Args:
        decoder: version of the decoding code and of the libraries under it.

    Raises:
        ClipError: if a source cannot be found.
    """
    prints = {p: fingerprint(resolve(p, media_root, config)) for p in media.cut.paths}
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
    text = json.dumps(parts, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=20).hexdigest()
