from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinograd.grading.choice import option_texts, read_choice

OPTIONS = ["A. A red car", "B. A blue car.", "C. Two dogs", "D. Vitamin C"]

FORMS = (
    "{}", " {}\n", "{}.", "({})", "[{}]", "{{{}}}", "{}:", "{})",
    "\\boxed{{{}}}", "$\\boxed{{{}}}$.",
    "\\boxed{{\\text{{{}}}}}", "**{}**", "`{}`", '"{}"', "Option {}", "The answer is {}",
    "Therefore, the correct answer is ({}).", "Final answer: {}", "Answer: option {}",
)  # fmt: skip


@given(st.sampled_from("ABCD"), st.sampled_from(FORMS), st.booleans())
def test_one_letter_in_any_notation(letter: str, form: str, lower: bool) -> None:
    written = form.format(letter.lower() if lower else letter)
    assert read_choice(written, OPTIONS) == letter
    assert read_choice(written) == letter


TWO = (
    "{} and {}", "{} or {}", "{}, {}", "{}/{}", "{}{}", "{}. {}", "({}) ({})", "{} {}",
    "{}. or {}.", "both {} and {}", "{}. It moves, or {}.", "{} {} {}", "{}.{}.{}.{}",
    "{} plus {}", "{} as well as {}",
)  # fmt: skip


@given(st.permutations("ABCD"), st.sampled_from(TWO))
def test_two_letters_are_no_answer(letters: list[str], form: str) -> None:
    assert read_choice(form.format(*letters), OPTIONS) is None


@given(st.integers(0, 3), st.sampled_from(["{0}. {1}", "({0}) {1}", "{0}) {1}", "{0}: {1}", "{1}"]))
def test_letter_and_own_text(index: int, form: str) -> None:
    letter, text = OPTIONS[index][0], OPTIONS[index][3:]
    assert read_choice(form.format(letter, text), OPTIONS) == letter
    assert read_choice(form.format(letter, text.upper()), OPTIONS) == letter


def test_letter_with_another_options_text_is_no_answer() -> None:
    assert read_choice("A. Two dogs", OPTIONS) is None
    assert read_choice("C. Vitamin C", OPTIONS) is None


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("B because it is blue", "B"),
        ("A - it is red", "A"),
        ("D. He takes vitamin C", "D"),
        ("B because option A is wrong", "B"),
        ("B. The best option is B", "B"),
        ("C D a", None),
        ("A dog", None),
        ("I think so", None),
        ("a car", None),
        ("red", None),
        ("E", None),
        ("", None),
        ("The answer is not clear", None),
    ],
)
def test_prose(answer: str, letter: str | None) -> None:
    assert read_choice(answer, OPTIONS) == letter


def test_letters_beyond_the_options_need_no_options() -> None:
    assert read_choice("G") == "G"
    assert read_choice("G", ["x"] * 7) == "G"


def test_texts_shared_by_options_name_none() -> None:
    assert read_choice("yes", ["yes", "yes", "no"]) is None
    assert read_choice("no", ["yes", "yes", "no"]) == "C"


def test_option_letters_are_taken_off_only_if_all_have_them() -> None:
    assert option_texts(["A. x", "B. y"]) == {"A": "x", "B": "y"}
    assert option_texts(["A. Einstein", "I. Newton"]) == {"A": "a. einstein", "B": "i. newton"}


@given(st.text(max_size=300), st.lists(st.text(max_size=20), max_size=5))
def test_never_names_an_option_that_is_not_there(answer: str, options: list[str]) -> None:
    letter = read_choice(answer, options)
    assert letter is None or letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[: len(options) or 26]


@pytest.mark.parametrize(
    "answer", ["A" * 10_000, "(" * 10_000, "A. B. " * 2_000, "\\boxed{" * 2_000]
)
def test_long_adversarial_answers_end(answer: str) -> None:
    assert read_choice(answer, OPTIONS) is None


@pytest.mark.parametrize(
    "answer",
    [
        "Ｂ", "（B）", "B。", "【B】", "「B」", "Ⓑ", "答案：B", "答案是B", "选B", "選B",
        "B、blue", "正确答案是 B", "答え：B", "정답: B", "B, because it is blue", "I choose B",
        "I would say\n(B)", "B</s>", "Based on the video, B", "Each time, B", "Actually, (B)",
        "Sure ;) B", "A man sits. B", "It is (B), not (C), see frame A.",
        "Options (A) and (C) are wrong, so B", "B rather than (A)", "A is wrong; it is B",
        "A. is wrong. Answer: B", "C: no. Final answer B", "(A) is wrong, (B)",
        "(A) fits, yet Final Answer: B", "f(x) grows, so (B)", "The path is C-shaped; B",
        "I saw DNA evidence; B", "A person drops it: B", "Only one (of them) fits: B",
        "not A. but B", "A is not the answer, the answer is B",
        "The answer is B. Note that A is a distractor.", "The car is, in the end, blue",
        "\\boxed{\\text{B}}", "Réponse : B", "caption b", "B\nblue", "答案不是A，是B",
        "Neither A nor C, so B", "It can't be A, so it must be B", "**B**: blue",
    ],
)  # fmt: skip
def test_letters_as_a_careful_reader_takes_them(answer: str) -> None:
    assert read_choice(answer, ["A. red", "B. blue", "C. green"]) == "B"


@pytest.mark.parametrize(
    "answer",
    [
        "A、C", "B或C", "答案不是B", "A. no, B. blue", "B. It moves, or C.", "not B",
        "B is wrong", "The answer is not B", "Both B and C", "The answer is B. The answer is C.",
        "B? C?", "frame B", "Vitamin B is shown", "I doubt that it is not blue", "red, then blue",
        "It is not blue", "The answer is B or C", "(B) (C)", "B plus C", "E", "It is E, or B",
        "A red-blue mix of B and C", "blue or green", "不选B", "isn't B", "B" + " very" * 2000,
    ],
)  # fmt: skip
def test_what_is_unclear_names_no_option(answer: str) -> None:
    assert read_choice(answer, ["A. red", "B. blue", "C. green"]) is None
