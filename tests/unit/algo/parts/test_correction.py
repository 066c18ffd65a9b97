from __future__ import annotations

import math

import numpy as np
import pytest
from pydantic import ValidationError

from kinograd.algo.grpo import Grpo
from kinograd.algo.parts.correction import importance_weights
from kinograd.algo.parts.settings import Correction

# Learner over sampler: 4, 1/2, 1; of the whole response: 2
LEARNER, SAMPLER = np.log([0.8, 0.1, 0.3]), np.log([0.2, 0.2, 0.3])


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (Correction(level="token", how="truncate", high=2.0), [2.0, 0.5, 1.0]),
        (Correction(level="token", how="truncate", high=2.0, low=0.8), [2.0, 0.8, 1.0]),
        (Correction(level="token", how="mask", high=2.0), [0.0, 0.5, 1.0]),
        (Correction(level="token", how="mask", high=5.0, low=0.8), [4.0, 0.0, 1.0]),
        (Correction(level="sequence", how="truncate", high=1.5), [1.5] * 3),
        (Correction(level="sequence", how="mask", high=1.5), [0.0] * 3),
        (Correction(), [2.0] * 3),  # TRL's default: sequence_mask with C = 3
    ],
)
def test_weights_by_hand(config, expected):
    got = importance_weights(LEARNER, SAMPLER, config)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_absurd_ratios_stay_finite():
    far = importance_weights(
        np.zeros(2), np.full(2, -500.0), Correction(how="truncate", high=math.inf)
    )
    assert np.isfinite(far).all()


def test_correction_needs_the_learners_log_probs():
    with pytest.raises(ValidationError, match="set algo.old: learner"):
        Grpo(correction=Correction())
    assert Grpo(old="learner", correction=Correction()).correction is not None


def test_bounds_must_rise():
    with pytest.raises(ValidationError, match="not below"):
        Correction(low=3.0)
