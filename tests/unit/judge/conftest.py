"""Judges for tests, which talk to real HTTP servers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from kinograd.config.schema import OpenAIJudge
from kinograd.judge.model_judge import ModelJudge


@pytest.fixture
def model_judge() -> Callable[..., ModelJudge]:
    """``model_judge(server, ..., **config)``: a judge that retries at once, for tests."""

    def build(*servers: Any, backoff_s: float = 0.005, **config: Any) -> ModelJudge:
        settings = {"model": "m", "verdict": "choice", "timeout_s": 5.0} | config
        urls = [getattr(server, "url", server) for server in servers]
        return ModelJudge("big", OpenAIJudge(urls=urls, **settings), backoff_s)

    return build
