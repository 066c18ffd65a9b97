"""A reward that any model can earn differently with each rollout, so that RL has gradients."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest

from kinograd.types import Example, Rollout


def variety(example: Example, rollout: Rollout) -> float:
    """0, 0.25, 0.5, 0.75 or 1 by the tokens."""
    return int(rollout.token_ids.sum()) % 5 / 4


@pytest.fixture
def varied(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Recipe section whose accuracy is ``variety``."""
    module = ModuleType("kinograd_test_rewards")
    module.variety = variety  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    target = f"{module.__name__}:variety"
    return {"reward": {"format": "off", "custom": [{"target": target, "replaces": "accuracy"}]}}
