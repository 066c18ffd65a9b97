"""EMA-GRPO against numbers worked out by hand."""

from __future__ import annotations

import json

import numpy as np
from tests.builders import scored_group

from kinograd.algo.base import RuleInputs
from kinograd.algo.ema_grpo import EmaGrpo, scaled, updated_moments
from kinograd.types import Kind


def test_moments_by_hand():
    first = updated_moments({}, ["ocr"], [np.array([1.0, 0.0])], decay=0.9)
    assert first == {"ocr": [0.5, 0.5]}  # a new kind starts with its batch
    # E[R] = 0.9 * 0.5 + 0.1 * 2, E[R^2] = 0.9 * 0.5 + 0.1 * 4
    second = updated_moments(first, ["ocr"], [np.array([2.0, 2.0])], decay=0.9)
    np.testing.assert_allclose(second["ocr"], [0.65, 0.85])


def test_moments_survive_json_and_leave_other_kinds_alone():
    state = {"ocr": [0.1 + 0.2, 1 / 3]}
    read = json.loads(json.dumps(state))
    after = updated_moments(read, ["caption"], [np.array([1.0, 0.0])], decay=0.99)
    assert after["ocr"] == state["ocr"]


def test_ema_grpo_by_hand():
    # sigma of the kind: sqrt(0.85 - 0.65^2) = 0.65383; centred rewards are +-0.5
    got = scaled(np.array([1.0, 0.0]), [0.65, 0.85], min_std=1e-3, guard=5.0)
    sigma = np.sqrt(0.85 - 0.65**2) + 1e-6
    np.testing.assert_allclose(got, [0.5 / sigma, -0.5 / sigma])


def test_ema_grpo_guard_falls_back_to_the_groups_own_std():
    # sigma = 0.01 would give 50; the group's own std over G is 0.5
    got = scaled(np.array([1.0, 0.0]), [0.0, 1e-4], min_std=1e-3, guard=5.0)
    np.testing.assert_allclose(got, [1.0, -1.0], rtol=1e-5)
    free = scaled(np.array([1.0, 0.0]), [0.0, 1e-4], min_std=1e-3, guard=None)
    np.testing.assert_allclose(free, [50.0, -50.0], rtol=1e-3)


def test_ema_grpo_goes_on_from_its_state():
    groups = [scored_group([1, 0], [0, 0], kind=Kind.OCR)]
    first = EmaGrpo().advantages(groups)
    assert first.state == {"moments": {"ocr": [0.5, 0.5]}}
    assert first.metrics == {"ema/std_ocr": 0.5}
    later = EmaGrpo(decay=0.5).advantages(
        [scored_group([1, 1], kind=Kind.OCR)], RuleInputs(first.state)
    )
    assert later.state == {"moments": {"ocr": [1.25, 2.25]}}  # of 0.5, 0.5 and 2, 4
