"""Real HTTP servers that judges and teachers talk to."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Generator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

PATH = Path(__file__).resolve().parents[2] / "benchmarks" / "judge_server.py"


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
