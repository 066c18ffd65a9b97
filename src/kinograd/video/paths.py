"""Where media may lie: every path stays under ``media_root``, links included.

URLs are refused unless the recipe allows them; then each is downloaded once.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from kinograd.records import replacing
from kinograd.video.faults import ClipError, ClipFault

if TYPE_CHECKING:
    from http.client import HTTPResponse

    from kinograd.config.video import VideoConfig

_URL = re.compile(r"^[A-Za-z][A-Za-z0-9+.\-]+:")  # two letters at least: not a drive


def resolve(path: str, media_root: str | Path, config: VideoConfig) -> Path:
    """The readable file that ``path`` names under ``media_root``.

    Args:
        path: relative to ``media_root``, as written in the data. An absolute path is
            accepted only when it lies under ``media_root``.

    Raises:
        ClipError: URL, OUTSIDE_ROOT (through ``..``, an absolute path or a symbolic
            link), MISSING, NOT_A_FILE, PERMISSION, EMPTY or TOO_MANY_BYTES (nothing
            has been read then).
    """
    if _URL.match(path):
        if not config.allow_urls:
            raise ClipError(
                ClipFault.URL,
                path,
                "URLs are not fetched; download the file under data.media_root, or set "
                "video.allow_urls: true and video.cache_dir",
            )
        file = _download(path, config)
        _check_file(path, file, config.max_source_bytes)
        return file
    if not path or "\0" in path:
        raise ClipError(ClipFault.MISSING, repr(path), "not a file name")
    root = Path(media_root).resolve()
    try:
        full = (root / path).resolve()
    except (OSError, RuntimeError) as error:  # a loop of links, a name too long
        raise ClipError(ClipFault.MISSING, path, f"cannot be resolved: {error}") from None
    if full != root and not full.is_relative_to(root):
        raise ClipError(
            ClipFault.OUTSIDE_ROOT,
            path,
            f"leads to {full}, outside data.media_root {root}; move the file there or set "
            "data.media_root to a folder that holds all media",
        )
    _check_file(path, full, config.max_source_bytes)
    return full


def _check_file(path: str, full: Path, max_bytes: int) -> None:
    try:
        status = os.stat(full)
    except FileNotFoundError:
        raise ClipError(
            ClipFault.MISSING, path, f"no such file ({full}); check data.media_root"
        ) from None
    except PermissionError:
        raise ClipError(ClipFault.PERMISSION, path, f"no right to enter {full.parent}") from None
    except OSError as error:
        raise ClipError(ClipFault.MISSING, path, f"cannot be opened: {error}") from None
    if not stat.S_ISREG(status.st_mode):
        raise ClipError(ClipFault.NOT_A_FILE, path, f"{full} is not a regular file")
    if status.st_size == 0:
        raise ClipError(ClipFault.EMPTY, path, "the file has no bytes; download it again")
    if status.st_size > max_bytes:
        raise ClipError(
            ClipFault.TOO_MANY_BYTES,
            path,
            f"{status.st_size} bytes exceed video.max_source_bytes = {max_bytes}",
        )
    if not os.access(full, os.R_OK):
        raise ClipError(ClipFault.PERMISSION, path, f"no right to read {full}")


def _download(url: str, config: VideoConfig) -> Path:
    """The local copy of a URL; fetched once, whole or not at all."""
    from http.client import HTTPException
    from urllib.request import urlopen

    if not url.lower().startswith(("http://", "https://")) or config.cache_dir is None:
        raise ClipError(ClipFault.URL, url, "only http and https URLs are fetched")
    name = hashlib.blake2b(url.encode(), digest_size=16).hexdigest()
    file = Path(config.cache_dir) / "downloads" / name
    if file.exists():
        return file
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        with replacing(file) as partial, open(partial, "wb") as out:
            with urlopen(url, timeout=config.timeout_s) as reply:
                _copy(reply, out, url, config.max_source_bytes)
    except (OSError, HTTPException, ValueError) as error:  # refused, lost, no such host
        raise ClipError(ClipFault.MISSING, url, f"cannot be downloaded: {error}") from None
    return file


def _copy(reply: HTTPResponse, out: BinaryIO, url: str, max_bytes: int) -> None:
    promised = reply.headers.get("Content-Length")
    size = 0
    while block := reply.read(1 << 20):
        size += len(block)
        if size > max_bytes:
            raise ClipError(
                ClipFault.TOO_MANY_BYTES, url, f"more than video.max_source_bytes = {max_bytes}"
            )
        out.write(block)
    if promised is not None and size != int(promised):
        raise OSError(f"{size} of {promised} bytes came")
