"""Every registered method: its published settings, and what all methods have in common."""

from __future__ import annotations

import re

import numpy as np
import pytest
import yaml
from pydantic import TypeAdapter
from tests.builders import scored_group

from kinograd.algo.base import GroupAlgorithm
from kinograd.algo.registry import ALGORITHMS, AlgoConfig

# advantage, objective, aggregate, clip range, beta and its place
COMBINATIONS = {
    "grpo": ("group_std", "clip", "sequence_mean", 0.2, 0.2, 0.0, "loss"),
    "dr_grpo": ("group_mean", "clip", "constant", 0.2, 0.2, 0.0, "loss"),
    "rloo": ("leave_one_out", "clip", "sequence_sum", None, None, 0.0, "reward"),
    "dapo": ("group_std", "clip", "token_mean", 0.2, 0.28, 0.0, "loss"),
    "reinforce_pp": (None, "clip", "token_mean", 0.2, 0.2, 0.0, "reward"),
    "gspo": ("group_std", "sequence", "sequence_mean", 3e-4, 4e-4, 0.0, "loss"),
    "gspo_token": ("group_std", "sequence_token", "sequence_mean", 3e-4, 4e-4, 0.0, "loss"),
    "cispo": ("group_std", "cispo", "token_mean", None, 4.0, 0.0, "loss"),
    "sapo": ("group_std", "sapo", "sequence_mean", 0.2, 0.2, 0.0, "loss"),
    "ema_grpo": (None, "clip", "token_mean", 0.2, 0.3, 0.0, "loss"),
    "gdpo": (None, "clip", "sequence_mean", 0.2, 0.2, 0.0, "loss"),
    "t_grpo": ("group_std", "clip", "sequence_mean", 0.2, 0.2, 0.0, "loss"),
    "video_r1": ("group_std", "clip", "sequence_mean", None, None, 0.04, "loss"),
    "open_r1_video": ("group_std", "clip", "sequence_mean", None, None, 0.1, "loss"),
    "vidbridge": ("group_std", "clip", "sequence_mean", None, None, 0.0, "loss"),
    "video_ktr": ("group_std", "clip", "sequence_mean", None, None, 0.04, "loss"),
    "relation": ("group_std", "clip", "sequence_mean", 0.2, 0.2, 0.0, "loss"),
}


def test_every_method_has_a_line_in_the_guide(request):
    guide = (request.config.rootpath / "docs/guide/algorithms.md").read_text(encoding="utf-8")
    assert [name for name in ALGORITHMS if f"`{name}`" not in guide] == []
    snippets = re.findall(r"`algo: (\{.*?\})`", guide)
    assert len(snippets) >= len(ALGORITHMS)
    for snippet in snippets:
        tree = yaml.safe_load(snippet)
        assert TypeAdapter(AlgoConfig).validate_python(tree).type == tree["type"]


@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_key_of_a_method_is_described(name):
    keys = ALGORITHMS[name].model_fields
    assert [key for key, field in keys.items() if key != "type" and not field.description] == []


@pytest.mark.parametrize("name", COMBINATIONS)
def test_a_method_is_its_published_combination(name):
    algo = ALGORITHMS[name]()
    advantage = algo.advantage if isinstance(algo, GroupAlgorithm) else None
    assert (
        advantage,
        algo.objective,
        algo.aggregate,
        algo.clip_low,
        algo.clip_high,
        algo.kl.beta,
        algo.kl.place,
    ) == COMBINATIONS[name]


def test_a_table_given_in_part_keeps_the_methods_other_settings():
    parse = TypeAdapter(AlgoConfig).validate_python
    rloo = parse({"type": "rloo", "kl": {"beta": 0.1}})
    assert (rloo.kl.beta, rloo.kl.place) == (0.1, "reward")
    video = parse({"type": "open_r1_video", "kl": {"beta": 0.04}})
    assert (video.kl.beta, video.kl.clamp) == (0.04, 11.0)
    assert parse({"type": "dapo", "dynamic": {"max_tries": 3}}).dynamic.keep == "correct"
    assert parse({"type": "dapo", "dynamic": None}).dynamic is None


@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_rule_keeps_the_places_of_dropped_groups(name):
    groups = [scored_group([1, None]), scored_group([1, None, 0, 0]), scored_group([0, 1, 0, 0])]
    result = ALGORITHMS[name]().advantages(groups)
    assert result.groups[0] is None
    assert np.isnan(result.groups[1]).tolist() == [False, True, False, False]
    assert result.groups[2][1] > result.groups[2][0]
    assert ALGORITHMS[name]().advantages([]).groups == []
