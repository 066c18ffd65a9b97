"""A judge's model that changes is noticed, within a run and between runs that share a cache."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kinograd.config.schema import OpenAIJudge
from kinograd.judge.outage import JudgeOutage, OutageGuard
from kinograd.types import JudgeRequest, Kind, Unscored, UsageError

Build = Callable[..., Any]


def dark(candidate: str) -> JudgeRequest:
    return JudgeRequest(Kind.DARK_EVENT, "What happened?", "The cook stirs.", candidate)


def test_a_model_that_changes_within_a_run_gives_no_verdict(
    serve: Build, model_judge: Build
) -> None:
    server = serve(model="judge-2025-01")
    judge = model_judge(server)
    (before,) = asyncio.run(judge.judge([dark("a")]))
    assert before.value == 0.0
    assert judge.client.served == {server.url: "judge-2025-01"}
    server.model = "judge-2026-02"
    (after,) = asyncio.run(judge.judge([dark("b")]))
    assert (after.value, after.unscored) == (None, Unscored.JUDGE_UNAVAILABLE)
    assert "'judge-2026-02' replies, at first it was 'judge-2025-01'" in after.detail
    (fresh,) = asyncio.run(judge.without_cache().judge([dark("b")]))
    assert fresh.unscored is Unscored.JUDGE_UNAVAILABLE


def test_it_stops_the_run_like_an_outage(serve: Build, model_judge: Build) -> None:
    server = serve(model="one")
    judge = model_judge(server)
    config = OpenAIJudge(urls=[server.url], model="m", window=1, pauses_s=[])
    guard = OutageGuard(judge, config)
    asyncio.run(guard.judge([dark("a")]))
    server.model = "two"
    with pytest.raises(JudgeOutage, match="the model changed"):
        asyncio.run(guard.judge([dark("b")]))


def test_a_cache_of_another_model_is_refused(
    serve: Build, model_judge: Build, tmp_path: Path
) -> None:
    server, cache = serve(model="one"), str(tmp_path / "verdicts.sqlite")
    asyncio.run(model_judge(server, cache=cache).judge([dark("a")]))
    asyncio.run(model_judge(server, cache=cache).judge([dark("b")]))
    server.model = "two"
    with pytest.raises(UsageError, match=r"holds replies of one, but .* serves two as m"):
        asyncio.run(model_judge(server, cache=cache).judge([dark("a")]))
    other = str(tmp_path / "other.sqlite")
    assert asyncio.run(model_judge(server, cache=other).judge([dark("a")]))[0].value == 0.0


def test_a_server_that_names_no_model_is_taken_as_it_is(serve: Build, model_judge: Build) -> None:
    judge = model_judge(serve())
    assert [v.value for v in asyncio.run(judge.judge([dark("a"), dark("b")]))] == [0.0, 0.0]
    assert judge.client.served == {}
