from __future__ import annotations

from tests.builders import scored_group

from kinograd.algo.dapo import Dapo
from kinograd.algo.grpo import Grpo
from kinograd.algo.parts.settings import DynamicSampling


def test_dynamic_sampling_keeps_groups_with_right_and_wrong_answers():
    mixed, solved = scored_group([1, 0]), scored_group([1, 1], [1, 0])
    assert DynamicSampling(keep="correct").keeps(mixed)
    assert not DynamicSampling(keep="correct").keeps(solved)
    assert DynamicSampling(keep="reward").keeps(solved)  # formats differ
    assert not DynamicSampling(keep="reward").keeps(scored_group([0, 0]))
    assert not DynamicSampling(keep="reward").keeps(scored_group([1, None]))
    assert Dapo().dynamic is not None
    assert Grpo().dynamic is None
