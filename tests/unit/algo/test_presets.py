"""Every method of the recipe's ``algo`` section, as a combination of the small functions."""

from __future__ import annotations

import re
from typing import get_args

import numpy as np
import pytest
import yaml
from pydantic import TypeAdapter
from tests.builders import scored_group

from kinograd.algo.presets import ALGORITHMS, advantages, comparable
from kinograd.algo.views import scored_views
from kinograd.config.algo import (
    AlgoConfig,
    Dapo,
    EmaGrpo,
    Gdpo,
    GroupAlgo,
    Grpo,
    KLConfig,
    ReinforcePP,
    Rloo,
    VideoKtr,
)
from kinograd.types import (
    Cut,
    Example,
    Kind,
    Media,
    MediaType,
    UsageError,
    View,
    ViewKind,
)

SECTIONS = {s.model_fields["type"].default: s for s in get_args(get_args(AlgoConfig)[0])}

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


def test_every_method_has_a_section_a_rule_and_a_line_in_the_guide(request):
    assert set(SECTIONS) == set(ALGORITHMS) == set(COMBINATIONS)
    guide = (request.config.rootpath / "docs/guide/algorithms.md").read_text(encoding="utf-8")
    assert [name for name in SECTIONS if f"`{name}`" not in guide] == []
    snippets = re.findall(r"`algo: (\{.*?\})`", guide)
    assert len(snippets) >= len(SECTIONS)
    for snippet in snippets:
        tree = yaml.safe_load(snippet)
        assert TypeAdapter(AlgoConfig).validate_python(tree).type == tree["type"]


@pytest.mark.parametrize("name", COMBINATIONS)
def test_a_method_is_its_published_combination(name):
    algo = SECTIONS[name]()
    advantage = algo.advantage if isinstance(algo, GroupAlgo) else None
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


@pytest.mark.parametrize("name", SECTIONS)
def test_every_rule_keeps_the_places_of_dropped_groups(name):
    groups = [scored_group([1, None]), scored_group([1, None, 0, 0]), scored_group([0, 1])]
    result = advantages(groups, SECTIONS[name]())
    assert result.groups[0] is None
    assert np.isnan(result.groups[1]).tolist() == [False, True, False, False]
    assert result.groups[2][1] > result.groups[2][0]
    assert advantages([], SECTIONS[name]()).groups == []


def test_reinforce_pp_shows_means_and_teaches_tokens():
    # The same numbers as in test_batch: over tokens 2, 0, 0, 0
    result = advantages([scored_group([1, 0], [1, 0], lengths=[1, 3])], ReinforcePP())
    np.testing.assert_allclose(result.groups[0], [1.5, -0.5], rtol=1e-6)
    assert [len(t) for t in result.tokens[0]] == [1, 3]


def test_a_response_without_tokens_is_no_reason_to_stop():
    result = advantages([scored_group([1, None, 0], lengths=[1, 0, 1])], ReinforcePP())
    assert np.isnan(result.groups[0]).tolist() == [False, True, False]


def test_rloo_takes_kl_off_the_reward_by_hand():
    # Rewards 2 and 1 minus penalties 0.5 + 0.5 and 0.25: 1 and 0.75
    penalties = [[np.array([0.5, 0.5]), np.array([0.25])]]
    group = scored_group([1, 0], lengths=[2, 1])
    result = advantages([group], Rloo(kl=KLConfig(beta=1, place="reward")), penalties=penalties)
    np.testing.assert_allclose(result.groups[0], [0.25, -0.25])


def test_ema_grpo_goes_on_from_its_state():
    groups = [scored_group([1, 0], [0, 0], kind=Kind.OCR)]
    first = advantages(groups, EmaGrpo())
    assert first.state == {"moments": {"ocr": [0.5, 0.5]}}
    assert first.metrics == {"ema/std_ocr": 0.5}
    later = advantages([scored_group([1, 1], kind=Kind.OCR)], EmaGrpo(decay=0.5), first.state)
    assert later.state == {"moments": {"ocr": [1.25, 2.25]}}  # of 0.5, 0.5 and 2, 4


def test_gdpo_names_the_reward_that_nobody_has():
    with pytest.raises(UsageError, match="no rollout has a reward named tone"):
        advantages([scored_group([1, 0])], Gdpo(weights={"accuracy": 1.0, "tone": 1.0}))


def test_dynamic_sampling_keeps_groups_with_right_and_wrong_answers():
    mixed, solved = scored_group([1, 0]), scored_group([1, 1], [1, 0])
    assert comparable(mixed, "correct")
    assert not comparable(solved, "correct")
    assert comparable(solved, "reward")  # formats differ
    assert not comparable(scored_group([0, 0]), "reward")
    assert not comparable(scored_group([1, None]), "reward")
    assert Dapo().dynamic is not None
    assert Grpo().dynamic is None


def test_views_that_completions_are_scored_under():
    video = Example("e", Kind.OCR, "?", "x", (Media(MediaType.VIDEO, Cut.whole("a.mp4")),))
    image = Example("e", Kind.OCR, "?", "x", (Media(MediaType.IMAGE, Cut.whole("a.png")),))
    assert scored_views(video, VideoKtr()) == {
        "visual": View(ViewKind.BLANK),
        "temporal": View(ViewKind.SHUFFLED),
    }
    assert scored_views(image, VideoKtr()) == {"visual": View(ViewKind.BLANK)}
    assert scored_views(video, VideoKtr(visual=0)) == {"temporal": View(ViewKind.SHUFFLED)}
    assert scored_views(video, Grpo()) == {}
