"""Cache of the packet indexes of large files, which are not read through again.

Small files need none of this: their packets are read anyway and stay in memory.
"""

from __future__ import annotations

from collections import OrderedDict
from contextlib import suppress
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from kinograd.config.video import VideoConfig
from kinograd.video.checksummed import read_arrays, write_arrays
from kinograd.video.fingerprint import fingerprint
from kinograd.video.packet_index import PacketIndex
from kinograd.video.paths import resolve
from kinograd.video.video_file import KEEP_BYTES, VideoFile

_RECENT = 64
_FOLDER = "index-2"  # the number rises when the same file gives another index
_recent: OrderedDict[str, PacketIndex] = OrderedDict()


def open_video(path: str, config: VideoConfig, media_root: str | Path) -> VideoFile:
    """Open ``path`` under ``media_root`` as a VideoFile; indexes of large files are cached.

    They are kept in this process and, with ``config.cache_dir``, on disk.

    Raises:
        ClipError: see ``resolve`` and ``VideoFile``.
    """
    file = resolve(path, media_root, config)
    if file.stat().st_size <= KEEP_BYTES:
        return VideoFile(file, path, config)
    key = fingerprint(file)
    folder = None if config.cache_dir is None else Path(config.cache_dir) / _FOLDER
    known = _recent.get(key) or (folder and load_index(folder / f"{key}.safetensors")) or None
    reader = VideoFile(file, path, config, known)
    _recent[key] = reader.index
    _recent.move_to_end(key)
    if len(_recent) > _RECENT:
        _recent.popitem(last=False)
    if folder and known is None:
        with suppress(OSError, SafetensorError):  # full, read-only or gone: read it again then
            save_index(reader.index, folder / f"{key}.safetensors")
    return reader


def save_index(index: PacketIndex, file: Path) -> None:
    """Write ``index`` atomically."""
    arrays = {"pts": index.pts, "key": index.key, "visible": index.visible}
    facts = {k: v for k, v in asdict(index).items() if k not in arrays} | {
        "time_base": str(index.time_base)
    }
    write_arrays(file, arrays, facts)


def load_index(file: Path) -> PacketIndex | None:
    """Return the PacketIndex that ``save_index`` wrote; None if there is none to be read."""
    if (found := read_arrays(file)) is None:
        return None
    arrays, facts = found
    values: dict[str, Any] = {**arrays, **facts, "time_base": Fraction(facts["time_base"])}
    return PacketIndex(**values)
