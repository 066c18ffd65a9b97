from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests import builders

from kinograd.config.rewards import RewardConfig
from kinograd.rewards import custom
from kinograd.rewards.score import check_routing, score_groups
from kinograd.types import (
    Example,
    Group,
    Judge,
    JudgeRequest,
    Kind,
    KinogradError,
    Rollout,
    StopReason,
    Unscored,
    UsageError,
    Verdict,
    View,
    ViewKind,
)

SHUFFLED = View(ViewKind.SHUFFLED)


def example(kind: Kind = Kind.MULTIPLE_CHOICE, answer: str = "B") -> Example:
    return builders.example("e1", kind, "What is it?", answer)


def rollout(answer: str, tokens: int = 10, stop: StopReason = StopReason.END) -> Rollout:
    return builders.rollout(f"<think>hm</think><answer>{answer}</answer>", tokens, stop)


def group(*rollouts: Rollout, of: Example | None = None, twin: Group | None = None) -> Group:
    return builders.group(rollouts, of=of or example(), twin=twin)


def config(**values: object) -> RewardConfig:
    return RewardConfig.model_validate(values)


class Listed:
    """A judge that answers from a list and keeps what it was asked."""

    def __init__(self, name: str, verdicts: Mapping[str, Verdict], delay: float = 0.0) -> None:
        self.name, self.verdicts, self.delay = name, verdicts, delay
        self.asked: list[JudgeRequest] = []
        self.others_running = 0

    async def judge(self, requests: Sequence[JudgeRequest]) -> list[Verdict]:
        self.asked.extend(requests)
        await asyncio.sleep(self.delay)
        self.others_running = len(asyncio.all_tasks()) - 1
        return [self.verdicts[r.candidate] for r in requests]


# ----------------------------------------------------------------- groups, twins


def test_scores_stand_in_the_order_of_rollouts_and_twins_have_their_own() -> None:
    twin = replace(group(rollout("A"), rollout("B")), view=SHUFFLED)
    first = group(rollout("B"), rollout("A"), rollout("C"), twin=twin)
    second = group(rollout("7"), of=example(Kind.NUMERICAL, "7"))
    scored = score_groups([first, second], RewardConfig())
    assert [g.values.tolist() for g in scored] == [[2.0, 1.0, 1.0], [2.0]]
    assert scored[0].twin is not None
    assert scored[0].twin.values.tolist() == [1.0, 2.0]
    assert scored[0].twin.view == SHUFFLED
    assert scored[0].correct.tolist() == [True, False, False]
    assert first.scores == ()


def test_each_row_is_graded_by_its_own_kind() -> None:
    """The released code applies the first row's kind to the whole batch."""
    groups = [group(rollout("3.0"), of=example(kind, "3")) for kind in (Kind.OCR, Kind.NUMERICAL)]
    assert [g.values.tolist() for g in score_groups(groups, RewardConfig())] == [[1.0], [2.0]]


def test_no_groups() -> None:
    assert score_groups([], RewardConfig()) == []


# -------------------------------------------------------------------- truncation


@pytest.mark.parametrize(
    ("policy", "value", "reason"),
    [("score", 2.0, None), ("mask", None, Unscored.TRUNCATED), ("penalise", 0.0, None)],
)
def test_truncation_policy(policy: str, value: float | None, reason: Unscored | None) -> None:
    cut = rollout("B", stop=StopReason.LENGTH)
    (scored,) = score_groups([group(cut, rollout("B"))], config(truncated=policy))
    assert (scored.scores[0].value, scored.scores[0].unscored) == (value, reason)
    assert scored.scores[0].correct == (policy == "score")
    assert scored.scores[1].value == 2.0


def test_a_truncated_rollout_that_is_not_graded_asks_no_judge() -> None:
    judge = Listed("big", {"b": Verdict(2.0)})
    groups = [
        group(rollout("a", stop=StopReason.LENGTH), rollout("b"), of=example(Kind.DARK_EVENT))
    ]
    settings = config(truncated="mask", judges={"dark_event": "big"})
    (scored,) = score_groups(groups, settings, {"big": judge})
    assert [r.candidate for r in judge.asked] == ["b"]
    assert scored.scored.tolist() == [False, True]


def test_a_rollout_without_tokens_is_unscored() -> None:
    (scored,) = score_groups([group(rollout("B", tokens=0))], RewardConfig())
    assert scored.scores[0].unscored is Unscored.EMPTY


# ------------------------------------------------------------------------ length


def test_length_bonus_needs_company_in_the_group() -> None:
    bonus = {"length_bonus": {}}
    alone = group(rollout("B", 400), rollout("A", 400))
    (scored,) = score_groups([alone], config(**bonus))
    assert scored.values.tolist() == [2.0, 1.0]
    several = group(rollout("B", 400), rollout("B", 100), rollout("A", 400))
    (scored,) = score_groups([several], config(**bonus))
    assert scored.values.tolist() == [2.2, 2.0, 1.0]
    assert [s.parts["length"] for s in scored.scores] == [0.2, 0.0, 0.0]


def test_correct_for_the_length_bonus_follows_the_threshold() -> None:
    graded = group(rollout("12", 400), rollout("12", 400), of=example(Kind.REGRESSION, "10"))
    for threshold, bonus in ((0.5, 0.2), (0.9, 0.0)):
        settings = config(length_bonus={}, correct_threshold=threshold)
        (scored,) = score_groups([graded], settings)
        assert scored.scores[0].parts["length"] == bonus


def test_penalties_are_added_and_kept_apart() -> None:
    repeated = replace(rollout("B"), token_ids=np.array([1, 2] * 50))
    settings = config(
        overlong={"max_tokens": 110, "cache": 20}, repetition={"ngram": 2, "value": -1.0}
    )
    (scored,) = score_groups([group(repeated)], settings)
    parts = scored.scores[0].parts
    assert parts["overlong"] == -0.5
    assert parts["repetition"] == pytest.approx(-97 / 99)
    assert scored.scores[0].value == pytest.approx(2.0 + parts["overlong"] + parts["repetition"])


# ------------------------------------------------------------------------ judges


def judged_groups() -> list[Group]:
    return [
        group(rollout("b"), rollout("a"), rollout("b"), rollout(""), of=example(Kind.DARK_EVENT)),
        group(rollout("c"), rollout("d"), of=example(Kind.CAPTION)),
        group(rollout("A"), rollout("B")),
    ]


JUDGES = {"dark_event": "big", "caption": "events"}


def test_judges_are_asked_together_and_answers_are_consumed_by_index() -> None:
    big = Listed("big", {"a": Verdict(0.0), "b": Verdict(2.0)}, delay=0.02)
    late = Verdict(None, unscored=Unscored.JUDGE_TIMEOUT)
    events = Listed("events", {"c": Verdict(None, {"recall": 1.0, "precision": 1.0}), "d": late})
    scored = score_groups(judged_groups(), config(judges=JUDGES), {"big": big, "events": events})
    assert [r.candidate for r in big.asked] == ["b", "a"]  # equal answers are asked once
    assert [r.candidate for r in events.asked] == ["c", "d"]
    assert events.others_running >= 1
    assert scored[0].values[:3].tolist() == [3.0, 1.0, 3.0]
    assert scored[0].values[3] == 0.0
    assert scored[1].values[0] == 2.5
    assert scored[1].scores[1].unscored is Unscored.JUDGE_TIMEOUT
    assert scored[1].scores[1].parts == {"format": 1.0}
    assert scored[2].values.tolist() == [1.0, 2.0]


def test_an_outage_is_not_a_zero_and_its_format_reward_does_not_count() -> None:
    down = Verdict(None, unscored=Unscored.JUDGE_UNAVAILABLE)
    judge = Listed("big", {"a": down, "b": Verdict(1.0)})
    groups = [group(rollout("a"), rollout("b"), of=example(Kind.DARK_EVENT))]
    settings = config(judges={"dark_event": "big"}, length_bonus={"low": 1, "min_correct": 1})
    (scored,) = score_groups(groups, settings, {"big": judge})
    assert scored.scored.tolist() == [False, True]
    assert np.isnan(scored.values[0])
    assert scored.values[1] == 2.2


def test_a_judge_that_loses_a_verdict_stops_the_run() -> None:
    class Forgetful(Listed):
        async def judge(self, requests: Sequence[JudgeRequest]) -> list[Verdict]:
            return [Verdict(1.0)]

    groups = [group(rollout("a"), rollout("b"), of=example(Kind.DARK_EVENT))]
    with pytest.raises(KinogradError, match="judge 'big' gave 1 verdicts for 2 answers"):
        score_groups(
            groups,
            config(judges=JUDGES),
            {"big": Forgetful("big", {}), "events": Listed("events", {})},
        )


@pytest.mark.parametrize(
    ("kinds", "settings", "judges", "message"),
    [
        ({Kind.DARK_EVENT}, {}, {}, r"dark_event need a judge: .*\(there is none\)"),
        ({Kind.CAPTION}, {}, {"big"}, r"reward.judges.caption .*\(big\)"),
        ({Kind.CAPTION}, {"judges": {"caption": "bog"}}, {"big"}, "no judge 'bog'"),
        ({Kind.OCR}, {"judges": {"ocr": "big"}}, {"big"}, "'ocr' is not one of"),
        ({Kind.OCR}, {"mode": "published:vidbridge"}, {}, "no rule for the kind ocr"),
        ({Kind.CAPTION}, {"mode": "published:video_r1"}, {}, "no rule for the kind caption"),
        (set(), {"custom": [{"target": "no_such_module:f"}]}, {}, "cannot import 'no_such_module'"),
        (set(), {"custom": [{"target": "json:no_such"}]}, {}, "no function 'no_such'"),
    ],
)
def test_a_recipe_that_cannot_grade_is_refused_at_the_start(
    kinds: set[Kind], settings: dict[str, object], judges: set[str], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        check_routing(kinds, config(**settings), judges)


def test_a_recipe_that_can_grade_passes() -> None:
    judges = dict.fromkeys(("dark_event", "mix_vid", "caption"), "big")
    check_routing(set(Kind), config(judges=judges), {"big"})
    check_routing({Kind.MULTIPLE_CHOICE, Kind.OCR}, RewardConfig(), {})


# ---------------------------------------------------------------- custom rewards


@pytest.fixture
def my_rewards(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    monkeypatch.setattr(custom, "_reported", set())
    yield "my_rewards"
    sys.modules.pop("my_rewards", None)


def one(**settings: object) -> tuple[float | None, dict[str, float], Unscored | None]:
    (scored,) = score_groups([group(rollout("B", tokens=4))], config(**settings))
    score = scored.scores[0]
    return score.value, dict(score.parts), score.unscored


@pytest.mark.parametrize("function", ["brevity", "slow_brevity", "runs_its_own_loop"])
def test_custom_rewards_are_added_with_their_weight(my_rewards: str, function: str) -> None:
    value, parts, _ = one(custom=[{"target": f"{my_rewards}:{function}", "weight": 2.0}])
    assert value == 2.5
    assert parts[function] == 0.25


def test_a_custom_reward_may_have_a_name_and_nothing_to_say(my_rewards: str) -> None:
    rewards = [
        {"target": f"{my_rewards}:brevity", "name": "short"},
        {"target": f"{my_rewards}:only_captions"},
    ]
    value, parts, _ = one(custom=rewards)
    assert value == 2.25
    assert parts == {"accuracy": 1.0, "answered": 1.0, "format": 1.0, "short": 0.25}


def test_a_custom_reward_may_replace_the_grader(my_rewards: str) -> None:
    reward = {"target": f"{my_rewards}:own_grader", "replaces": "accuracy"}
    value, parts, _ = one(custom=[reward], correct_threshold=0.7)
    assert (value, parts) == (1.75, {"accuracy": 0.75, "format": 1.0})
    judged = group(rollout("B"), of=example(Kind.DARK_EVENT))
    (scored,) = score_groups([judged], config(custom=[reward]))
    assert scored.values.tolist() == [1.75]


@pytest.mark.parametrize(
    ("function", "detail"),
    [
        ("broken", "my_rewards:broken raised LookupError: no such clip"),
        ("slow_broken", "my_rewards:slow_broken raised LookupError: no such clip"),
        ("not_a_number", "my_rewards:not_a_number returned nan"),
        ("words", "my_rewards:words raised ValueError"),
    ],
)
def test_a_failing_custom_reward_leaves_the_rollout_unscored(
    my_rewards: str, function: str, detail: str, caplog: pytest.LogCaptureFixture
) -> None:
    groups = [group(rollout("B"), rollout("A"))]
    with caplog.at_level(logging.ERROR):
        (scored,) = score_groups(groups, config(custom=[{"target": f"{my_rewards}:{function}"}]))
    assert [s.unscored for s in scored.scores] == [Unscored.GRADER_ERROR] * 2
    assert all(s.detail.startswith(detail) for s in scored.scores)
    raised = "raised" in detail
    assert len(caplog.records) == int(raised)  # the traceback once, not once per rollout
    assert all("Traceback" in r.getMessage() for r in caplog.records)


class Textless(Exception):
    def __str__(self) -> str:
        raise ValueError


@pytest.mark.parametrize(
    ("error", "detail"),
    [
        (RuntimeError("half \ud83d and\x00 \n two  lines"), "half \\ud83d and\\x00 two lines"),
        (RuntimeError("é" * 10**6), "é" * 300 + "..."),
        (RuntimeError(chr(0x7B54)), chr(0x7B54)),
        (Textless(), "(its text cannot be had)"),
    ],
    ids=["half an emoji", "a megabyte", "Chinese", "no text"],
)
def test_the_text_of_a_foreign_exception_fits_a_record(
    my_rewards: str, monkeypatch: pytest.MonkeyPatch, error: Exception, detail: str
) -> None:
    def fails(*_: object) -> float:
        raise error

    monkeypatch.setattr(f"{my_rewards}.brevity", fails)
    custom = [{"target": f"{my_rewards}:brevity"}]
    (scored,) = score_groups([group(rollout("B"))], config(custom=custom))
    said = scored.scores[0].detail
    assert said == f"my_rewards:brevity raised {type(error).__name__}: {detail}"
    assert json.loads(json.dumps(said, ensure_ascii=False).encode()) == said


def test_a_replacement_without_an_opinion_is_an_error(my_rewards: str) -> None:
    reward = {"target": f"{my_rewards}:no_opinion", "replaces": "accuracy"}
    assert one(custom=[reward])[2] is Unscored.GRADER_ERROR


def test_parts_have_distinct_names() -> None:
    for rewards in (
        [{"target": "a:f"}, {"target": "b:f"}],
        [{"target": "a:format"}],
        [{"target": "a:f", "replaces": "accuracy"}, {"target": "a:g", "replaces": "accuracy"}],
    ):
        with pytest.raises(ValueError, match="custom: "):
            config(custom=rewards)


def test_the_judge_in_these_tests_is_one() -> None:
    judge: Judge = Listed("big", {})
    assert judge.name == "big"


def test_free_text_goes_to_a_judge_only_where_the_recipe_says_so() -> None:
    groups = [group(rollout("a hound"), of=example(Kind.FREE_FORM, "a dog"))]
    (scored,) = score_groups(groups, RewardConfig())
    assert 0 < scored.scores[0].parts["accuracy"] < 1
    judge = Listed("big", {"a hound": Verdict(1.0, {"lexical_f1": 0.5}, label="True")})
    (scored,) = score_groups(groups, config(judges={"free_form": "big"}), {"big": judge})
    assert scored.values.tolist() == [2.0]
    assert scored.scores[0].parts["lexical_f1"] == 0.5
    assert scored.scores[0].detail == "True"


def test_events_of_the_reference_go_to_the_caption_judge() -> None:
    verdict = Verdict(None, {"recall": 1.0, "precision": 1.0})
    of = replace(example(Kind.CAPTION, "gold"), extra={"events": ["a man walks", "he sits"]})
    for mode, events in (("default", ("a man walks", "he sits")), ("published:vidbridge", ())):
        judge = Listed("big", {"c": verdict})
        settings = config(mode=mode, judges={"caption": "big"})
        score_groups([group(rollout("c"), of=of)], settings, {"big": judge})
        assert judge.asked[0].events == events
    own = replace(of, extra={"events": [{"color": "red", "frame": 3}]})  # extra is free
    judge = Listed("big", {"c": verdict})
    score_groups([group(rollout("c"), of=own)], config(judges={"caption": "big"}), {"big": judge})
    assert judge.asked[0].events == ()


def test_rules_alone_need_no_event_loop() -> None:
    """In a notebook one is running already."""

    async def notebook() -> list[Group]:
        return score_groups([group(rollout("B"))], RewardConfig())

    assert asyncio.run(notebook())[0].values.tolist() == [2.0]
