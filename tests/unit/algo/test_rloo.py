"""RLOO with KL in the reward, by hand."""

from __future__ import annotations

import numpy as np
from tests.builders import scored_group

from kinograd.algo.base import RuleInputs
from kinograd.algo.parts.settings import KLConfig
from kinograd.algo.rloo import Rloo


def test_rloo_takes_kl_off_the_reward_by_hand():
    # Rewards 2 and 1 minus penalties 0.5 + 0.5 and 0.25: 1 and 0.75
    penalties = [[np.array([0.5, 0.5]), np.array([0.25])]]
    group = scored_group([1, 0], lengths=[2, 1])
    result = Rloo(kl=KLConfig(beta=1, place="reward")).advantages(
        [group], RuleInputs(penalties_PGL=penalties)
    )
    np.testing.assert_allclose(result.groups[0], [0.25, -0.25])
