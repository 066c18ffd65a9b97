"""Decoded clips on disk: one file per clip, a byte budget, safe for several processes.

Every file is written under a temporary name and renamed, carries a checksum, and is
evicted least recently used first. A process that decodes a clip holds a *claim* beside its
place, so that others wait for it instead of decoding it again: a locked file, which the
system unlocks when its process dies.
"""

from __future__ import annotations

import fcntl
import logging
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from safetensors import SafetensorError

from kinograd.types import Clip
from kinograd.video.checksummed import read_arrays, write_arrays

log = logging.getLogger(__name__)

_SUFFIX = ".clip.safetensors"
_STALE_S = 24 * 3600.0
_QUALITY = 95


@dataclass(frozen=True)
class CacheStats:
    """Contents of a cache folder.

    Attributes:
        clips, bytes: decoded clips and their size on disk.
        oldest_s: seconds since the least recently used one was used; None when empty.
    """

    clips: int
    bytes: int
    oldest_s: float | None


class DiskCache:
    """Clips by key in a folder of at most ``budget`` bytes (and a little while writing).

    Args:
        jpeg: store frames as JPEG: roughly a tenth of the bytes, not exact.
        claim_s: age at which a claim counts as abandoned.
    """

    def __init__(self, folder: str | Path, budget: int, jpeg: bool, claim_s: float) -> None:
        self._folder, self._budget = Path(folder) / "clips", budget
        self._jpeg, self._claim_s = jpeg, claim_s
        self._claims: dict[str, BinaryIO] = {}
        self._unseen = budget  # bytes written since the folder was last measured
        self._told = False

    # ------------------------------------------------------------ reading, writing

    def has(self, key: str) -> bool:
        """Return whether there is a clip under ``key``."""
        try:
            return self._file(key).exists()
        except OSError as error:
            return self._unusable(error)

    def load(self, key: str) -> Clip | None:
        """Return the clip under ``key``; None if there is none. A damaged file is deleted."""
        file = self._file(key)
        if (found := read_arrays(file)) is None:
            return None
        with suppress(OSError):  # another user's file in a shared folder; gone meanwhile
            os.utime(file)
        return _unpacked(*found)

    def save(self, key: str, clip: Clip) -> bool:
        """Store ``clip``; others see all of it or nothing. Return whether it is stored."""
        arrays = _packed(clip, self._jpeg)
        try:
            write_arrays(self._file(key), arrays, facts_of(clip))
            self._unseen += sum(array.nbytes for array in arrays.values())
            if self._unseen > self._budget * 0.02:
                self._evict()
        except (OSError, SafetensorError) as error:  # a full disk is one or the other
            return self._unusable(error)
        return True

    def _unusable(self, error: Exception) -> bool:
        """Say once that the folder is full, read-only or gone; clips are decoded without it."""
        if not self._told:
            self._told = True
            log.warning("video.cache_dir cannot be used (%s); clips are decoded without it", error)
        return False

    def _file(self, key: str) -> Path:
        mode = "jpeg" if self._jpeg else "raw"
        return self._folder / key[:2] / f"{key}.{mode}{_SUFFIX}"

    # ----------------------------------------------------------------------- claims

    def claim(self, key: str) -> bool | None:
        """Claim the decoding of ``key`` for this process.

        Returns:
            True if it is ours to do, False if another process is at it, None if the clip
            is here already.
        """
        if self.has(key):
            return None
        file = self._folder / key[:2] / f"{key}.claim"
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            lock = file.open("ab")
        except OSError as error:  # without a claim it may be decoded twice
            self._unusable(error)
            return True
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with lock:
                return time.time() - os.fstat(lock.fileno()).st_mtime > self._claim_s
        except OSError:  # no locks on this file system: it may be decoded twice
            pass
        with suppress(OSError):  # deleted to make room
            os.utime(file)
        self._claims[key] = lock
        if self.has(key):  # its decoder finished between the two looks
            self.release(key)
            return None
        return True

    def release(self, key: str) -> bool:
        """Withdraw a claim, whether or not a clip came of it; return whether there was one."""
        if lock := self._claims.pop(key, None):
            with suppress(OSError):
                Path(lock.name).unlink(missing_ok=True)
            lock.close()
        return lock is not None

    # ------------------------------------------------------------- budget, upkeep

    def _evict(self) -> None:
        found = sorted(_entries(self._folder), key=lambda entry: entry[1].st_mtime)
        total = sum(status.st_size for _, status in found)
        for file, status in found:
            if total <= self._budget:
                break
            total -= status.st_size
            file.unlink(missing_ok=True)
        self._unseen = 0

    def stats(self) -> CacheStats:
        """Return counts and sizes now."""
        found = [status for _, status in _entries(self._folder)]
        oldest = min((s.st_mtime for s in found), default=None)
        return CacheStats(
            len(found),
            sum(s.st_size for s in found),
            None if oldest is None else max(0.0, time.time() - oldest),
        )

    def clear(self) -> CacheStats:
        """Delete all clips and what killed processes left; return what was there."""
        before = self.stats()
        for file, _ in _entries(self._folder):
            file.unlink(missing_ok=True)
        for file in (*self._folder.glob("*/*.claim"), *self._folder.glob("*/*.partial")):
            if time.time() - file.stat().st_mtime > _STALE_S:
                file.unlink(missing_ok=True)
        return before


def _entries(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    for file in folder.glob(f"*/*{_SUFFIX}"):
        with suppress(FileNotFoundError):  # evicted meanwhile
            yield file, file.stat()


# ------------------------------------------------------------------------ one file


def facts_of(clip: Clip) -> dict[str, Any]:
    """Return the fields of a clip besides its arrays, for JSON."""
    return {name: getattr(clip, name) for name in ("native_fps", "fps", "duration", "damaged")}


def _packed(clip: Clip, jpeg: bool) -> dict[str, np.ndarray]:
    arrays = {"timestamps": clip.timestamps}
    if not jpeg:
        return arrays | {"frames": np.ascontiguousarray(clip.frames)}
    blobs = [_to_jpeg(f) for f in clip.frames]
    ends = np.cumsum([len(b) for b in blobs])
    return arrays | {"ends": ends, "jpeg": np.frombuffer(b"".join(blobs), np.uint8)}


def _unpacked(arrays: dict[str, np.ndarray], facts: dict[str, Any]) -> Clip:
    if (frames := arrays.get("frames")) is None:
        blobs = np.split(arrays["jpeg"], arrays["ends"][:-1])
        frames = np.stack([_from_jpeg(b) for b in blobs])
    return Clip(frames, arrays["timestamps"], **facts)


def _to_jpeg(frame: np.ndarray) -> bytes:
    from PIL import Image

    out = BytesIO()
    image = Image.fromarray(np.ascontiguousarray(frame.transpose(1, 2, 0)))
    image.save(out, "JPEG", quality=_QUALITY, subsampling=0)
    return out.getvalue()


def _from_jpeg(blob: np.ndarray) -> np.ndarray:
    from PIL import Image

    return np.ascontiguousarray(np.asarray(Image.open(BytesIO(blob.tobytes()))).transpose(2, 0, 1))
