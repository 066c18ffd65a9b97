"""A real HTTP server that plays the teacher: the judge's, which can fail on purpose."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Generator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

PATH = Path(__file__).resolve().parents[3] / "benchmarks" / "judge_server.py"


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Generator[Callable[..., Any]]:
    """``serve(reply, **options)`` starts a ``JudgeServer`` for the length of a test."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    spec = importlib.util.spec_from_file_location("judge_server", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with ExitStack() as stack:
        yield lambda *args, **kwargs: stack.enter_context(module.JudgeServer(*args, **kwargs))
