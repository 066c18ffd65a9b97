"""Rate limits: requests per minute and tokens per minute."""

from __future__ import annotations

import time
from collections.abc import Callable


class RateLimiter:
    """Spaces work evenly so that its cost per minute stays within a rate.

    The generic cell rate algorithm (ITU-T I.371): one number, the time at which the work
    admitted so far will be paid off. It holds no asyncio object, so one limiter outlives
    the event loops of the training steps that share it.

    Args:
        per_minute: cost allowed per minute; None admits everything at once.
        burst_s: seconds' worth of work that may be admitted at once after a lull.
        clock: seconds that never run backwards.
    """

    def __init__(
        self,
        per_minute: float | None,
        burst_s: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._seconds_per_unit = 60.0 / per_minute if per_minute else 0.0
        self._burst_s = burst_s
        self._clock = clock
        self._paid_off = float("-inf")

    def reserve(self, cost: float = 1.0) -> float:
        """Admit work of ``cost`` and return the seconds to wait before starting it."""
        now = self._clock()
        start = max(self._paid_off, now - self._burst_s)
        self._paid_off = start + cost * self._seconds_per_unit
        return max(0.0, start - now)

    def correct(self, difference: float) -> None:
        """Add the cost of finished work beyond its estimate (negative: it was cheaper)."""
        self._paid_off += difference * self._seconds_per_unit
