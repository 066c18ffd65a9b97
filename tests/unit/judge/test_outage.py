"""Pacing with a clock of its own, and what a run does when its judge fails."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinograd.endpoint.rate_limit import RateLimiter
from kinograd.judge import JudgeOutage, OutageGuard
from kinograd.judge.outage import FailureWindow
from kinograd.types import JudgeRequest, Kind, KinogradError, Unscored, Verdict

Build = Callable[..., Any]
OK, DOWN = Verdict(1.0), Verdict(None, unscored=Unscored.JUDGE_UNAVAILABLE, detail="HTTP 503")


# ------------------------------------------------------------------------ pace


@given(
    per_minute=st.floats(1, 1e5),
    burst_s=st.floats(0, 5),
    work=st.lists(st.tuples(st.floats(0, 3), st.floats(0, 50)), max_size=60),
)
def test_no_span_of_time_admits_more_than_the_rate_and_the_burst(
    per_minute: float, burst_s: float, work: list[tuple[float, float]]
) -> None:
    now = 0.0
    pace = RateLimiter(per_minute, burst_s, clock=lambda: now)
    admitted = []
    for wait, cost in work:
        now += wait
        admitted.append((now + pace.reserve(cost), cost))
    assert [t for t, _ in admitted] == sorted(t for t, _ in admitted)
    for i, (start, _) in enumerate(admitted):
        for j in range(i, len(admitted)):
            # The last one is admitted on credit: its cost is paid off afterwards.
            spent = sum(cost for _, cost in admitted[i:j])
            allowed = per_minute / 60.0 * (admitted[j][0] - start + burst_s)
            assert spent <= allowed * (1 + 1e-9) + 1e-6


def test_the_cost_is_corrected_once_it_is_known() -> None:
    pace = RateLimiter(60.0, burst_s=0.0, clock=lambda: 0.0)  # one unit a second
    assert [pace.reserve(10.0), pace.reserve(1.0)] == [0.0, 10.0]
    pace.correct(-8.0)
    assert pace.reserve(1.0) == 3.0


def test_no_rate_means_no_wait() -> None:
    pace = RateLimiter(None)
    assert [pace.reserve(1e9) for _ in range(3)] == [0.0] * 3


# ---------------------------------------------------------------------- window


def test_a_failure_is_no_outage() -> None:
    window = FailureWindow(0.2, size=10)
    assert not window.exceeded_by([DOWN, DOWN])
    assert window.exceeded_by([DOWN] * 3)
    window.record([DOWN, DOWN] + [OK] * 8)
    assert window.rate_with() == 0.2
    assert window.exceeded_by([OK, DOWN]) is False  # one old failure leaves as one enters
    assert window.exceeded_by([DOWN] * 3)


def test_a_batch_longer_than_the_window_is_looked_at_whole() -> None:
    window = FailureWindow(0.2, size=4)
    assert window.exceeded_by([DOWN] * 12 + [OK] * 4)
    assert window.rate_with([DOWN] * 12 + [OK] * 4) == 0.75


def test_what_is_wrong_with_the_answer_is_no_failure_of_the_judge() -> None:
    window = FailureWindow(0.0, size=4)
    window.record([Verdict(None, unscored=Unscored.EMPTY)] * 4)
    assert window.rate_with() == 0.0


# ----------------------------------------------------------------- guarded judge


def requests(n: int) -> list[JudgeRequest]:
    return [JudgeRequest(Kind.MIX_VID, "q", "r", f"answer {i}") for i in range(n)]


def guard(
    judge: Any, on_pause: Callable[[], None] = lambda: None
) -> tuple[OutageGuard, list[float]]:
    """A guarded judge that does not sleep but writes down for how long it would have."""
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        on_pause()

    return OutageGuard(judge, judge.config, sleep), pauses


OUTAGE = {"window": 10, "max_failure_rate": 0.2, "max_retries": 0, "pauses_s": [1.0, 2.0]}


def test_a_few_failures_are_masked(serve: Build, model_judge: Build) -> None:
    server = serve(fault_rate=0.15, faults=("503",), seed=3)
    judge, pauses = guard(model_judge(server, **OUTAGE | {"window": 40, "max_failure_rate": 0.4}))
    verdicts = asyncio.run(judge.judge(requests(40)))
    failed = [v for v in verdicts if v.unscored]
    assert 0 < len(failed) <= 16
    assert {v.unscored for v in failed} == {Unscored.JUDGE_UNAVAILABLE}
    assert pauses == []
    assert judge.metrics()["judge/big/failure_rate"] == len(failed) / 40


def test_an_outage_that_ends_costs_time_but_no_verdict(serve: Build, model_judge: Build) -> None:
    server = serve(lambda body: body["structured_outputs"]["choice"][-1])
    inner = model_judge(server, **OUTAGE)

    def mend() -> None:
        server.fault_rate = 0.0

    judge, pauses = guard(inner, mend)
    asyncio.run(judge.judge(requests(1)))
    server.fault_rate, server.faults = 0.7, ("503",)
    asked = len(server.bodies)
    verdicts = asyncio.run(judge.judge(requests(20)[1:]))
    assert [v.value for v in verdicts] == [1.0] * 19
    assert pauses == [1.0]
    failed = sum(n for outcome, n in server.outcomes.items() if outcome != "ok")
    assert len(server.bodies) == asked + 19 + failed  # only what failed was asked again
    assert server.after_success == 0


def test_an_outage_that_lasts_stops_the_run(serve: Build, model_judge: Build) -> None:
    server = serve()
    judge, pauses = guard(model_judge(server, **OUTAGE))
    asyncio.run(judge.judge(requests(1)))
    server.fault_rate, server.faults = 1.0, ("503",)
    with pytest.raises(JudgeOutage) as caught:
        asyncio.run(judge.judge(requests(8)[1:]))
    assert isinstance(caught.value, KinogradError)
    assert pauses == [1.0, 2.0]
    for part in ("'big'", server.url, "7 judge_unavailable", "HTTP 503", "max_failure_rate=0.2"):
        assert part in str(caught.value)


def test_failures_of_many_small_calls_add_up(serve: Build, model_judge: Build) -> None:
    server = serve()
    judge, pauses = guard(model_judge(server, **OUTAGE))
    asyncio.run(judge.judge(requests(1)))
    server.fault_rate, server.faults = 1.0, ("503",)
    for masked in requests(3)[1:]:
        asyncio.run(judge.judge([masked]))
    assert pauses == []
    with pytest.raises(JudgeOutage):
        asyncio.run(judge.judge(requests(4)[3:]))
