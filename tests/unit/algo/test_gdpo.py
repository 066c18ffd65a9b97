"""GDPO against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from tests.builders import scored_group

from kinograd.algo.gdpo import Gdpo, decoupled
from kinograd.algo.parts.advantage import group_std
from kinograd.types import UsageError


def test_gdpo_by_hand():
    # accuracy 1, 0 and format 0, 1 have std sqrt(0.5), so their advantages are +-a with
    # a = 0.5 / (sqrt(0.5) + 1e-4). Weighted 2 : 1 that is (2a - a, -2a + a) = (a, -a).
    # The second group: accuracy 1, 0 again, format equal: (2a, -2a).
    # Batch: a, -a, 2a, -2a: mean 0, std sqrt(10 a^2 / 3).
    a = 0.5 / (np.sqrt(0.5) + 1e-4)
    parts = [
        {"accuracy": np.array([1.0, 0.0]), "format": np.array([0.0, 1.0])},
        {"accuracy": np.array([1.0, 0.0]), "format": np.array([1.0, 1.0])},
    ]
    got = decoupled(parts, {"accuracy": 2.0, "format": 1.0})
    scale = np.sqrt(10 * a * a / 3) + 1e-4
    np.testing.assert_allclose(got, np.array([[a, -a], [2 * a, -2 * a]]) / scale)


def test_gdpo_keeps_apart_what_grpo_confuses():
    """The paper's example: totals 0, 1 and 0, 2 look alike once each group is standardised;
    being better in two rewards is worth twice as much as in one."""
    one, two = np.array([0.0, 1.0]), np.array([0.0, 0.0])
    parts = [{"a": one, "b": two}, {"a": one, "b": one}]
    np.testing.assert_allclose(*[group_std(p["a"] + p["b"]) for p in parts], rtol=1e-3)
    first, second = decoupled(parts, {"a": 1.0, "b": 1.0})
    np.testing.assert_allclose(second, 2 * first)


def test_gdpo_without_a_part_and_without_a_score():
    nan = np.nan
    (got,) = decoupled([{"a": np.array([1.0, 0.0, nan, nan]), "b": np.array([nan, nan, nan, 1.0])}],
                  {"a": 1.0, "b": 1.0})  # fmt: skip
    assert np.isnan(got[2])  # no reward at all: unscored
    assert np.isnan(got[3])  # its only reward has nothing to be compared with
    np.testing.assert_allclose(got[:2], [np.sqrt(0.5), -np.sqrt(0.5)], rtol=1e-3)


def test_gdpo_names_the_reward_that_nobody_has():
    with pytest.raises(UsageError, match="no rollout has a reward named tone"):
        Gdpo(weights={"accuracy": 1.0, "tone": 1.0}).advantages([scored_group([1, 0])])
