"""Filling the cache before a run, and saying what could not be read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kinograd.types import Media
from kinograd.video.cache import ClipStore
from kinograd.video.faults import ClipError, ClipFault

_AHEAD = 64


@dataclass(frozen=True)
class WarmReport:
    """What warming did.

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


def warm(
    store: ClipStore, media: Sequence[Media], advance: Callable[[], object] = lambda: None
) -> WarmReport:
    """Has every medium decoded into ``store``'s disk cache; memory use does not grow.

    Args:
        advance: called once per distinct medium, for a progress bar.
    """
    distinct = list(dict.fromkeys(media))
    before = store.counts["decoded"]
    failed: list[ClipError] = []
    for number, medium in enumerate(distinct):
        if number % (_AHEAD // 2) == 0:
            store.prefetch(distinct[number : number + _AHEAD])
        try:
            store.ensure(medium)
        except ClipError as error:
            failed.append(error)
        advance()
    return WarmReport(len(distinct) - len(failed), store.counts["decoded"] - before, tuple(failed))
