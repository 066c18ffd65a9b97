"""Where media may lie: every path stays under ``media_root``, links included."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from kinograd.video.faults import ClipError, ClipFault

_URL = re.compile(r"^[A-Za-z][A-Za-z0-9+.\-]+:")  # two letters at least: not a drive


def resolve(path: str, media_root: str | Path, max_bytes: int) -> Path:
    """The readable file that ``path`` names under ``media_root``.

    Args:
        path: relative to ``media_root``, as written in the data. An absolute path is
            accepted only when it lies under ``media_root``.
        max_bytes: larger files are refused before anything is read.

    Raises:
        ClipError: URL, OUTSIDE_ROOT (through ``..``, an absolute path or a symbolic
            link), MISSING, NOT_A_FILE, PERMISSION, EMPTY or TOO_MANY_BYTES.
    """
    if _URL.match(path):
        raise ClipError(
            ClipFault.URL, path, "URLs are not fetched; download the file under data.media_root"
        )
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
    _check_file(path, full, max_bytes)
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
