"""Outages of a judge: mask failed verdicts, then pause and retry, then stop the run.

When more than ``max_failure_rate`` of the last ``window`` verdicts failed, the judge is down
rather than unlucky, and training on would turn the run into a lottery over who got through.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Sequence

from kinograd.config.schema import OpenAIJudge
from kinograd.judge.model_judge import ModelJudge
from kinograd.types import JudgeRequest, KinogradError, Unscored, Verdict

OUTAGE = frozenset({Unscored.JUDGE_UNAVAILABLE, Unscored.JUDGE_TIMEOUT, Unscored.JUDGE_UNPARSABLE})


class JudgeOutage(KinogradError):
    """A judge failed too often for too long; the run has to stop, resumable."""


class FailureWindow:
    """Rate of failures among the last ``size`` verdicts, or the last batch if it is longer.

    The share is taken of ``size`` even before so many verdicts are in: one failed verdict at
    the start of a run is not an outage.
    """

    def __init__(self, max_failure_rate: float, size: int) -> None:
        self.max_failure_rate = max_failure_rate
        self.size = size
        self._recent: deque[Unscored | None] = deque(maxlen=size)

    def record(self, verdicts: Iterable[Verdict]) -> None:
        """Add verdicts to the window."""
        self._recent.extend(_outcome(v) for v in verdicts)

    def failures_with(self, verdicts: Sequence[Verdict] = ()) -> Counter[Unscored]:
        """Count failures by reason, as if ``verdicts`` were recorded too."""
        both = [*self._recent, *(_outcome(v) for v in verdicts)]
        return Counter(outcome for outcome in both[-self._span(verdicts) :] if outcome)

    def rate_with(self, verdicts: Sequence[Verdict] = ()) -> float:
        """Return the failure rate, as if ``verdicts`` were recorded too."""
        return self.failures_with(verdicts).total() / self._span(verdicts)

    def exceeded_by(self, verdicts: Sequence[Verdict]) -> bool:
        """Check whether recording ``verdicts`` would put the rate above the limit."""
        return self.rate_with(verdicts) > self.max_failure_rate

    def _span(self, verdicts: Sequence[Verdict]) -> int:
        return max(self.size, len(verdicts))


def _outcome(verdict: Verdict) -> Unscored | None:
    return verdict.unscored if verdict.unscored in OUTAGE else None


class OutageGuard:
    """A judge that waits through an outage and raises JudgeOutage when it lasts.

    Args:
        sleep: how to wait between retries, in seconds.
    """

    def __init__(
        self,
        judge: ModelJudge,
        config: OpenAIJudge,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.name = judge.name
        self.inner = judge
        self.window = FailureWindow(config.max_failure_rate, config.window)
        self._config = config
        self._sleep = sleep

    async def judge(self, requests: Sequence[JudgeRequest]) -> list[Verdict]:
        """Judge the requests; verdicts keep their order, and the caller masks the failed ones.

        Raises:
            JudgeOutage: when the window's failure rate is above its limit after all pauses.
        """
        verdicts = await self.inner.judge(requests)
        for pause_s in self._config.pauses_s:
            failed = [i for i, verdict in enumerate(verdicts) if _outcome(verdict)]
            if not failed or not self.window.exceeded_by(verdicts):
                break
            await self._sleep(pause_s)
            again = await self.inner.judge([requests[i] for i in failed])
            for i, verdict in zip(failed, again, strict=True):
                verdicts[i] = verdict
        failed = [verdict for verdict in verdicts if _outcome(verdict)]
        message = self._message(verdicts, failed[-1].detail) if failed else ""
        outage = bool(failed) and self.window.exceeded_by(verdicts)
        self.window.record(verdicts)
        if outage:
            raise JudgeOutage(message)
        return verdicts

    def _message(self, verdicts: Sequence[Verdict], last: str) -> str:
        failures = self.window.failures_with(verdicts)
        reasons = ", ".join(f"{n} {reason.value}" for reason, n in failures.items())
        return (
            f"judge {self.name!r} ({self._config.model} at {', '.join(self._config.urls)}): "
            f"{self.window.rate_with(verdicts):.0%} of the latest verdicts failed ({reasons}), "
            f"more than max_failure_rate={self._config.max_failure_rate:g}, and waiting "
            f"{sum(self._config.pauses_s):g} s did not help. Last failure: {last}. "
            "Fix the judge ('kinograd judge check' says what is wrong), then give the same "
            "command again: the run resumes from its checkpoint"
        )

    def metrics(self) -> dict[str, float]:
        """Return the judge's counts since the start of the process, and the failure rate."""
        values = self.inner.metrics() | {"failure_rate": self.window.rate_with()}
        return {f"judge/{self.name}/{key}": float(value) for key, value in values.items()}
