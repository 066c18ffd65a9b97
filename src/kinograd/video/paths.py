"""Paths of media: every path stays under ``media_root``, links included.

URLs are refused unless the recipe allows them; then each is downloaded once.
"""

from __future__ import annotations

import os
import re
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from kinograd.files import atomic_path, digest
from kinograd.video.faults import ClipError, ClipFault

if TYPE_CHECKING:
    from http.client import HTTPResponse

    from kinograd.config.video import VideoConfig

_URL = re.compile(r"^[A-Za-z][A-Za-z0-9+.\-]+:")  # two letters at least: not a drive


def resolve(path: str, media_root: str | Path, config: VideoConfig) -> Path:
    """Return the readable file that ``path`` names under ``media_root``.

    Args:
        path: relative to ``media_root``, as written in the data. An absolute path is
            accepted only when it lies under ``media_root``.

    Raises:
        ClipError: URL, OUTSIDE_ROOT (through ``..``, an absolute path or a symbolic
            link), MISSING, NOT_A_FILE, PERMISSION, EMPTY or TOO_MANY_BYTES (nothing
            has been read then).
    """
    if is_url(path):
        full = _download(path, config)
    else:
        full = _inside(path, Path(media_root).resolve())
    try:
        status = os.stat(full)
    except FileNotFoundError:
        fault, why = ClipFault.MISSING, f"no such file ({full}); check data.media_root"
    except PermissionError:
        fault, why = ClipFault.PERMISSION, f"no right to enter {full.parent}"
    except OSError as error:
        fault, why = ClipFault.MISSING, f"cannot be opened: {error}"
    else:
        size, most = status.st_size, config.max_source_bytes
        if not stat.S_ISREG(status.st_mode):
            fault, why = ClipFault.NOT_A_FILE, f"{full} is not a regular file"
        elif size == 0:
            fault, why = ClipFault.EMPTY, "the file has no bytes; download it again"
        elif size > most:
            why = f"{size} bytes exceed video.max_source_bytes = {most}"
            fault = ClipFault.TOO_MANY_BYTES
        elif not os.access(full, os.R_OK):
            fault, why = ClipFault.PERMISSION, f"no right to read {full}"
        else:
            return full
    raise ClipError(fault, path, why)


def is_url(path: str) -> bool:
    """Return whether ``path`` names an address rather than a file."""
    return _URL.match(path) is not None


def _inside(path: str, root: Path) -> Path:
    """Return the place that ``path`` names, links followed; it need not exist."""
    if not path or "\0" in path:
        raise ClipError(ClipFault.MISSING, repr(path), "not a file name")
    try:
        full = (root / path).resolve()
    except (OSError, RuntimeError) as error:  # a loop of links, a name too long
        raise ClipError(ClipFault.MISSING, path, f"cannot be resolved: {error}") from None
    if full != root and not full.is_relative_to(root):
        why = (
            f"leads to {full}, outside data.media_root {root}; move the file there or set "
            "data.media_root to a folder that holds all media"
        )
        raise ClipError(ClipFault.OUTSIDE_ROOT, path, why)
    return full


def _download(url: str, config: VideoConfig) -> Path:
    """Return the local copy of a URL, which is fetched once."""
    from http.client import HTTPException
    from urllib.request import urlopen

    if not config.allow_urls:
        why = (
            "URLs are not fetched; download the file under data.media_root, or set "
            "video.allow_urls: true and video.cache_dir"
        )
        raise ClipError(ClipFault.URL, url, why)
    if not url.lower().startswith(("http://", "https://")) or config.cache_dir is None:
        raise ClipError(ClipFault.URL, url, "only http and https URLs are fetched")
    name = digest(url)
    file = Path(config.cache_dir) / "downloads" / name
    if file.exists():
        return file
    try:
        with atomic_path(file, durable=False) as partial, open(partial, "wb") as out:
            with urlopen(url, timeout=config.timeout_s) as reply:
                _copy(reply, out, url, config)
    except (OSError, HTTPException, ValueError) as error:  # refused, lost, no such host
        raise ClipError(ClipFault.MISSING, url, f"cannot be downloaded: {error}") from None
    return file


def _copy(reply: HTTPResponse, out: BinaryIO, url: str, config: VideoConfig) -> None:
    # read1 gives what has arrived: a server that sends a byte at a time is timed out as well
    size, began = 0, time.monotonic()
    while block := reply.read1(1 << 20):
        size += len(block)
        if size > config.max_source_bytes:
            why = f"more than video.max_source_bytes = {config.max_source_bytes}"
            raise ClipError(ClipFault.TOO_MANY_BYTES, url, why)
        if time.monotonic() - began > config.timeout_s:
            why = f"not downloaded within video.timeout_s = {config.timeout_s:g} s"
            raise ClipError(ClipFault.TIMEOUT, url, why)
        out.write(block)
    if reply.length:
        raise OSError(f"{reply.length} bytes are missing")
