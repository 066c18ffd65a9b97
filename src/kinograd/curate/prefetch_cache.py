"""Filling the cache before a run, from this machine or several, and what could not be read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from kinograd.config.video import VideoConfig
from kinograd.types import Media
from kinograd.video.clip_store import ClipStore
from kinograd.video.faults import ClipError, ClipFault
from kinograd.workers.row_map import map_rows


@dataclass(frozen=True)
class WarmReport:
    """Result of filling a cache.

    Attributes:
        clips: distinct media that are now cached.
        decoded: of these, how many were not cached before.
        failed: faults by media, in the order met.
    """

    clips: int
    decoded: int
    failed: tuple[ClipError, ...]

    @property
    def by_fault(self) -> dict[ClipFault, int]:
        return dict(Counter(e.reason for e in self.failed).most_common())


class Warmer:
    """Decodes one clip into the shared ``cache_dir``; a worker's function for ``map_rows``."""

    def __init__(self, config: VideoConfig, media_root: str, size_factor: int) -> None:
        own = config.model_copy(update={"workers": min(1, config.workers)})
        self._store = ClipStore(own, media_root, size_factor)

    def __call__(self, media: Media) -> tuple[int, dict[str, Any] | None]:
        """(clips decoded: 0 or 1, fields of the ClipError if there was one)."""
        before = self._store.counts["decoded"]
        try:
            self._store.ensure(media)
        except ClipError as error:
            return 0, vars(error)
        return self._store.counts["decoded"] - before, None

    def close(self) -> None:
        self._store.close()


def warm(
    config: VideoConfig,
    media_root: str | Path,
    size_factor: int,
    media: Iterable[Media],
    *,
    backend: str = "local",
    advance: Callable[[], object] = lambda: None,
) -> WarmReport:
    """Have every medium decoded once by ``config.workers`` workers; memory use does not grow.

    Args:
        config: ``cache_dir`` and ``media_root`` must be the same folders on every machine.
        advance: called once per distinct medium, for a progress bar.
    """
    distinct = list(dict.fromkeys(media))
    shared = config.model_copy(update={"cache_dir": str(Path(config.cache_dir or "").resolve())})
    make = partial(Warmer, shared, str(Path(media_root).resolve()), size_factor)
    decoded, failed = 0, []
    results = map_rows(make, distinct, workers=config.workers, backend=backend)
    for new, error in results:
        decoded += new
        failed += [] if error is None else [ClipError(**error)]
        advance()
    return WarmReport(len(distinct) - len(failed), decoded, tuple(failed))
