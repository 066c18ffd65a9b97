"""A real HTTP server for the judge to talk to, shared with the benchmark."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Generator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from kinograd.config.schema import OpenAIJudge
from kinograd.judge.model_judge import ModelJudge

PATH = Path(__file__).resolve().parents[3] / "benchmarks" / "judge_server.py"


def _module() -> Any:
    if "judge_server" not in sys.modules:
        spec = importlib.util.spec_from_file_location("judge_server", PATH)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["judge_server"] = module
        spec.loader.exec_module(module)
    return sys.modules["judge_server"]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Generator[Callable[..., Any]]:
    """``serve(reply, **options)`` starts a ``JudgeServer`` for the length of a test."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with ExitStack() as stack:
        yield lambda *args, **kwargs: stack.enter_context(_module().JudgeServer(*args, **kwargs))


@pytest.fixture
def model_judge() -> Callable[..., ModelJudge]:
    """``model_judge(server, ..., **config)``: a judge that retries at once, for tests."""

    def build(*servers: Any, backoff_s: float = 0.005, **config: Any) -> ModelJudge:
        settings = {"model": "m", "verdict": "choice", "timeout_s": 5.0} | config
        urls = [getattr(server, "url", server) for server in servers]
        return ModelJudge("big", OpenAIJudge(urls=urls, **settings), backoff_s)

    return build
