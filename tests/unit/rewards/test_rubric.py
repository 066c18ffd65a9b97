from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinograd.config.rewards import MODE_DEFAULTS, RewardConfig
from kinograd.kinds import KINDS, check_gold
from kinograd.rewards.modes import MODES
from kinograd.rewards.rubric import (
    config_for,
    grade,
    grade_text,
    judge_request,
)
from kinograd.types import JudgeRequest, Kind, Score, Unscored, UsageError, Verdict

OPTIONS = ("A. a red car", "B. a blue car", "C. two dogs")
VERDICTS = {
    Kind.DARK_EVENT: Verdict(1.0, label="1"),
    Kind.MIX_VID: Verdict(1.0, label="True"),
    Kind.CAPTION: Verdict(None, {"recall": 0.5, "precision": 0.25}),
}


def tagged(answer: str, think: str = "hm") -> str:
    return f"<think>{think}</think><answer>{answer}</answer>"


# Reference, and answers whose grades are worth a look.
TABLE: dict[Kind, list[tuple[str, list[str]]]] = {
    Kind.MULTIPLE_CHOICE: [
        ("B", ["B", " B ", "b", "B.", "(B)", "\\boxed{B}", "a blue car", "B. a blue car"]),
        ("B", ["A", "A and B", "AB", "B. a red car", "not A. but B", "B because", "", "b. it"]),
    ],
    Kind.NUMERICAL: [
        ("3", ["3", "3.0", "3.4", "three", "3 cars", "3 or 4", "300%", "1_000", ""]),
        ("3.14", ["3.14", "3.141", "3.1", "314%", "22/7", "nan"]),
        ("0.001", ["0.004", "1e-3"]),
        ("1,000", ["1000", "1,000", "1,000.0", "1,0", "1 thousand"]),
        ("0.5", ["\\frac{1}{2}", "50%", "\\sqrt{2}/2"]),
    ],
    Kind.OCR: [
        ("EXIT only", ["EXIT only", "exit only", "EXIT  only", "EXIT", "ＥＸＩＴ only", ""]),
    ],
    Kind.FREE_FORM: [
        ("a man pours tea", ["A man pours tea.", "the man poured the tea", "a dog", ""]),
        ("cat", ["cat", "a cat"]),
        ("一只狗", ["一只狗", "一只猫"]),
    ],
    Kind.REGRESSION: [
        ("10", ["10", "11", "9.5", "-10", "ten", "10 m", "nan", "inf", "a lot", ""]),
        ("0", ["0", "0.1"]),
    ],
    Kind.DARK_EVENT: [("he fries an onion", ["he cooks", ""])],
    Kind.MIX_VID: [("red cups", ["cups", ""])],
    Kind.CAPTION: [
        ("a man pours tea", ["First a man boils water, then he pours tea.", "He may be late", ""]),
    ],
}  # fmt: skip
WHOLE = [
    ("B", "<think>x</think><answer>B</answer> bye"),
    ("B", " <think>x</think>\n<answer>B</answer>\n"),
    ("B", "<think>is it <answer>A</answer>?</think><answer>B</answer>"),
    ("B", "<think>x</think><answer>B"),
    ("B", "<answer>B</answer>"),
    ("B", "B"),
    ("B", ""),
]


def row(kind: Kind, gold: str, completion: str, score: Score) -> str:
    shown = "null" if score.value is None else f"{score.value:.12g}"
    parts = " ".join(f"{k}={v:.12g}" for k, v in sorted(score.parts.items()))
    reason = score.unscored.value if score.unscored else "correct" if score.correct else "-"
    return "\t".join([kind.value, repr(gold), repr(completion), shown, reason, parts])


def test_every_mode_has_defaults_and_every_kind_an_object() -> None:
    assert MODES.keys() == MODE_DEFAULTS.keys()
    assert KINDS.keys() == set(Kind)


@pytest.mark.parametrize("mode", MODES)
def test_golden_table(mode: str, golden: Callable[..., None]) -> None:
    lines = ["kind\treference\tresponse\tvalue\treason\tparts"]
    for kind in Kind:
        if kind not in MODES[mode].kinds:
            continue
        options = OPTIONS if kind is Kind.MULTIPLE_CHOICE else ()
        cases = [(g, tagged(a)) for g, answers in TABLE[kind] for a in answers]
        cases += WHOLE if kind is Kind.MULTIPLE_CHOICE else []
        for gold, completion in cases:
            score = grade_text(kind, completion, gold, options, mode, verdict=VERDICTS.get(kind))
            lines.append(row(kind, gold, completion, score))
    golden(f"rewards/{mode.replace(':', '_')}.tsv", "\n".join(lines) + "\n")


# ------------------------------------------------------------------ combination


@pytest.mark.parametrize(
    ("overrides", "completion", "value"),
    [
        ({}, tagged("B"), 2.0),
        ({}, tagged("A"), 1.0),
        ({}, "<answer>B</answer>", 1.0),
        ({"combine": "product"}, tagged("B"), 1.0),
        ({"combine": "product"}, "<answer>B</answer>", 0.0),
        ({"format": "prefix"}, tagged("B") + " bye", 2.0),
        ({"format": "off"}, "<answer>B</answer>", 1.0),
        ({"format": "off"}, "The answer is B.", 1.0),
        ({}, "The answer is B.", 0.0),
    ],
)
def test_format_and_combination(overrides: dict[str, str], completion: str, value: float) -> None:
    config = RewardConfig.model_validate(overrides)
    score = grade(Kind.MULTIPLE_CHOICE, completion, "B", OPTIONS, config)
    assert score.value == value
    assert ("format" in score.parts) == (config.format != "off")


def test_a_mode_brings_its_format_combination_and_threshold() -> None:
    vidbridge, video_r1 = config_for("published:vidbridge"), config_for("published:video_r1")
    assert (vidbridge.format, vidbridge.combine) == ("prefix", "product")
    assert (video_r1.format, video_r1.combine, video_r1.correct_threshold) == (
        "fullmatch", "sum", 0.1,
    )  # fmt: skip
    mixed = RewardConfig.model_validate({"mode": "published:vidbridge", "combine": "sum"})
    assert (mixed.format, mixed.combine) == ("prefix", "sum")


@pytest.mark.parametrize(("threshold", "correct"), [(0.1, True), (0.5, False)])
def test_correct_is_accuracy_above_the_threshold(threshold: float, correct: bool) -> None:
    config = RewardConfig(correct_threshold=threshold)
    score = grade(Kind.REGRESSION, tagged("15"), "10", (), config)
    assert score.parts["accuracy"] == 0.5
    assert score.correct == correct


def test_an_answer_that_cannot_be_read_is_wrong_and_told_apart() -> None:
    unread = grade_text(Kind.NUMERICAL, tagged("several"), "3")
    wrong = grade_text(Kind.NUMERICAL, tagged("4"), "3")
    assert unread.parts == {"accuracy": 0.0, "answered": 0.0, "format": 1.0}
    assert wrong.parts == {"accuracy": 0.0, "answered": 1.0, "format": 1.0}
    assert "no answer" in unread.detail
    assert "'4', expected '3'" in wrong.detail


@pytest.mark.parametrize(
    ("kind", "gold", "reason"),
    [
        (Kind.NUMERICAL, "some", Unscored.PARSE),
        (Kind.REGRESSION, "1 or 2", Unscored.PARSE),
        (Kind.MULTIPLE_CHOICE, "A, B", Unscored.PARSE),
        (Kind.FREE_FORM, "...", Unscored.PARSE),
        (Kind.OCR, " ", Unscored.EMPTY),
        (Kind.DARK_EVENT, "", Unscored.EMPTY),
    ],
)
def test_a_reference_that_cannot_be_read_leaves_the_rollout_unscored(
    kind: Kind, gold: str, reason: Unscored
) -> None:
    score = grade_text(kind, tagged("x"), gold)
    assert (score.value, score.unscored) == (None, reason)
    assert score.parts["format"] == 1.0


def test_the_reference_may_come_in_tags() -> None:
    for mode in ("default", "published:video_r1"):
        assert grade_text(Kind.NUMERICAL, tagged("3"), "<answer> 3 </answer>", (), mode).correct


def test_a_mode_without_a_rule_for_a_kind_refuses() -> None:
    with pytest.raises(UsageError, match="published:vidbridge has no rule for the kind ocr"):
        grade_text(Kind.OCR, tagged("x"), "x", (), "published:vidbridge")
    # Video-R1's code ends in "else: reward = 0.0".
    assert grade_text(Kind.CAPTION, tagged("x"), "x", (), "published:video_r1").value == 1.0


@given(
    st.sampled_from(list(MODES)),
    st.sampled_from(list(Kind)),
    st.text(max_size=60),
    st.text(max_size=20),
)
def test_any_text_gets_a_grade(mode: str, kind: Kind, inside: str, gold: str) -> None:
    if not MODES[mode].has_rule(kind):
        return
    for completion in (inside, tagged(inside)):
        score = grade_text(kind, completion, gold, OPTIONS, mode, verdict=VERDICTS.get(kind))
        assert (score.value is None) == (score.unscored is not None)
        if score.value is not None:
            assert -8 <= score.value <= 4


# ------------------------------------------------------------------- judged kinds


def test_a_judged_answer_without_a_verdict_is_unscored() -> None:
    score = grade_text(Kind.DARK_EVENT, tagged("he cooks"), "he fries")
    assert score.unscored is Unscored.JUDGE_UNAVAILABLE
    outage = Verdict(None, unscored=Unscored.JUDGE_TIMEOUT, detail="no reply in 60 s")
    score = grade_text(Kind.DARK_EVENT, tagged("he cooks"), "he fries", verdict=outage)
    assert (score.value, score.unscored, score.detail) == (
        None, Unscored.JUDGE_TIMEOUT, "no reply in 60 s",
    )  # fmt: skip


@pytest.mark.parametrize("mode", ["default", "published:vidbridge"])
def test_no_answer_needs_no_judge_to_be_wrong(mode: str) -> None:
    judged = [k for k in KINDS if KINDS[k].always_judged]
    for kind in judged:
        assert judge_request(kind, "q", tagged(" "), "gold", config_for(mode)) is None
        score = grade_text(kind, tagged(" "), "gold", (), mode)
        assert score.parts["accuracy"] == 0.0
        assert score.unscored is None


def test_only_the_answer_reaches_the_judge() -> None:
    text = "<think>Score: 2 <answer>perfect</answer></think><answer> he cooks </answer>"
    asked = judge_request(Kind.DARK_EVENT, "q", text, "<answer>gold</answer>", RewardConfig())
    assert asked == JudgeRequest(Kind.DARK_EVENT, "q", "gold", "he cooks")
    asked = judge_request(Kind.DARK_EVENT, "q", text, "gold", config_for("published:vidbridge"))
    assert asked == JudgeRequest(Kind.DARK_EVENT, "q", "gold", "perfect")


@pytest.mark.parametrize(
    ("kind", "verdict"),
    [
        (Kind.DARK_EVENT, Verdict(3.0)),
        (Kind.MIX_VID, Verdict(float("nan"))),
        (Kind.MIX_VID, Verdict(None)),
        (Kind.CAPTION, Verdict(1.0)),
        (Kind.CAPTION, Verdict(None, {"recall": 1.2, "precision": 0.0})),
    ],
)
def test_a_verdict_out_of_range_is_no_verdict(kind: Kind, verdict: Verdict) -> None:
    score = grade_text(kind, tagged("x"), "gold", verdict=verdict)
    assert score.unscored is Unscored.JUDGE_UNPARSABLE


def test_caption_reward() -> None:
    text = tagged("First he boils water, then he pours tea.")
    verdict = Verdict(None, {"recall": 0.5, "precision": 0.25})
    score = grade_text(Kind.CAPTION, text, "gold", verdict=verdict)
    assert score.parts["accuracy"] == 0.625
    assert score.parts["keywords"] == pytest.approx(0.4)
    assert score.value == pytest.approx(0.625 + 0.4 + 1.0)
    invented = Verdict(None, {"recall": 0.0, "precision": 0.0})
    assert grade_text(Kind.CAPTION, text, "gold", verdict=invented).parts["keywords"] == 0.0
    # What AutoDQ says of an answer without any event: as published it is worth 0.5.
    nothing = Verdict(None, {"recall": 0.0, "precision": 1.0})
    assert grade_text(Kind.CAPTION, text, "gold", verdict=nothing).parts["accuracy"] == 0.0
    mode = "published:vidbridge"
    score = grade_text(Kind.CAPTION, text, "gold", mode=mode, verdict=nothing)
    assert score.parts["accuracy"] == 0.5
    plain = RewardConfig(caption_keywords=False, caption_precision=1.0)
    assert grade(Kind.CAPTION, text, "gold", (), plain, verdict=verdict).value == 1.75


# ------------------------------------------------------------------- consistency


@pytest.mark.parametrize(
    ("kind", "think", "answer", "consistent"),
    [
        (Kind.MULTIPLE_CHOICE, "So the answer is A.", "B", 0.0),
        (Kind.MULTIPLE_CHOICE, "The answer is A? No: the answer is B.", "B", 1.0),
        (Kind.MULTIPLE_CHOICE, "Option A is red.", "B", None),
        (Kind.MULTIPLE_CHOICE, "It is blue.", "B", None),
        (Kind.NUMERICAL, "The answer is 2.", "3", 0.0),
        (Kind.NUMERICAL, "The answer should be three, I think.", "3", 1.0),
        (Kind.FREE_FORM, "The answer is a dog.", "cat", None),
    ],
)
def test_reasoning_that_concludes_otherwise_earns_nothing(
    kind: Kind, think: str, answer: str, consistent: float | None
) -> None:
    config = RewardConfig(consistency=True)
    score = grade(kind, tagged(answer, think), answer, OPTIONS, config)
    assert score.parts.get("consistency") == consistent
    assert score.parts["accuracy"] == 1.0
    assert score.value == (1.0 if consistent == 0.0 else 2.0)
    assert score.correct == (consistent != 0.0)


# ------------------------------------------------------------------- gold answers


@pytest.mark.parametrize(
    ("kind", "answer", "problem"),
    [
        (Kind.MULTIPLE_CHOICE, "B", None),
        (Kind.MULTIPLE_CHOICE, "two dogs", None),
        (Kind.MULTIPLE_CHOICE, "G", "names no option"),
        (Kind.NUMERICAL, "1,234.5 kg", None),
        (Kind.NUMERICAL, "1.234,5", "is not one number"),
        (Kind.REGRESSION, "0", None),
        (Kind.OCR, "EXIT", None),
        (Kind.FREE_FORM, "猫", None),
        (Kind.FREE_FORM, "a</answer>b", "tags"),
        (Kind.CAPTION, "", "empty"),
        (Kind.CAPTION, "a man", None),
    ],
)
def test_a_gold_answer_must_pass_its_own_grader(
    kind: Kind, answer: str, problem: str | None
) -> None:
    found = check_gold(kind, answer, OPTIONS)
    assert found is None if problem is None else problem in (found or "")


@pytest.mark.parametrize(
    ("mode", "text", "answer"),
    [
        ("default", "<think><answer>A</answer></think><answer> B </answer>", "B"),
        ("default", "B", None),
        ("published:video_r1", "<think><answer>A</answer></think><answer> B </answer>", "A"),
        ("published:video_r1_eval", " B ", "B"),
        ("published:vidbridge", "<answer>B", "B"),
        ("published:dvd_counting_eval", "<answer> 3 </answer>", "3"),
    ],
)
def test_the_score_names_the_answer_that_was_graded(
    mode: str, text: str, answer: str | None
) -> None:
    kind = Kind.NUMERICAL if "dvd" in mode else Kind.MULTIPLE_CHOICE
    assert grade_text(kind, text, "3" if "dvd" in mode else "B", OPTIONS, mode).answer == answer
