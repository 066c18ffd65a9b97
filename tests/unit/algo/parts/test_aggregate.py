from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinograd.algo.parts.aggregate import token_weights


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("sequence_mean", [1 / 2, 1 / 8]),
        ("token_mean", [1 / 5, 1 / 5]),
        ("constant", [1 / 20, 1 / 20]),
        ("sequence_sum", [1 / 2, 1 / 2]),
    ],
)
def test_token_weights(how, expected):
    weights = token_weights([1, 4], how, constant=10)
    assert [len(w) for w in weights] == [1, 4]
    np.testing.assert_allclose([w[0] for w in weights], expected, rtol=1e-6)


def test_a_response_without_tokens_that_count_has_no_weight():
    assert [len(w) for w in token_weights([0, 2], "sequence_mean")] == [0, 2]


@given(st.lists(st.integers(1, 40), min_size=1, max_size=9))
def test_means_have_total_weight_one(lengths):
    for how in ("sequence_mean", "token_mean"):
        assert sum(w.sum() for w in token_weights(lengths, how)) == pytest.approx(1, abs=1e-5)
