from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinograd.grading.extract import (
    answer_span,
    first_answer,
    gold_answer,
    has_format,
    published_format,
    think_span,
    untagged,
)

PIECES = ["<think>", "</think>", "<answer>", "</answer>", " ", "\n", "\x1f", "a", "B.", "<", "é"]
texts = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)
FORMAT = r"<think>.*?</think>\s*<answer>.*?</answer>"


@given(texts)
def test_linear_searches_equal_the_published_patterns(text: str) -> None:
    found = re.search(r"<answer>\s*(.*?)\s*</answer>", text, re.DOTALL)
    assert first_answer(text) == (found.group(1).strip() if found else None)
    found = re.search(r"<answer>(.*?)(</answer>|$)", text, re.DOTALL)
    assert first_answer(text, unclosed=True) == (found.group(1).strip() if found else None)
    assert published_format(text, "fullmatch") == bool(re.fullmatch(FORMAT, text, re.DOTALL))
    assert published_format(text, "prefix") == bool(re.match(FORMAT, text, re.DOTALL))


@given(texts)
def test_a_good_format_has_an_answer_and_is_one_for_the_published_rule(text: str) -> None:
    for rule in ("fullmatch", "prefix"):
        if has_format(text, rule):
            assert answer_span(text)
            assert think_span(text) is not None
            assert published_format(text.strip(), rule)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("<think>x</think><answer> B </answer>", "B"),
        ("<think>maybe <answer>A</answer></think><answer>B</answer>", "B"),
        ("<think>x</think><answer>A</answer><answer>B</answer>", "B"),
        ("<answer>B</answer>", "B"),
        ("<answer>B</answer><think>x</think>", None),
        ("<think>x</think><answer>B", None),
        ("<think>x</think>B", None),
        ("</answer>B<answer>", None),
        ("", None),
    ],
)
def test_the_answer_after_the_reasoning_counts(text: str, answer: str | None) -> None:
    assert answer_span(text) == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("B", "B"),
        ("<think>x</think> B ", "B"),
        ("<think>x</think>", None),
        ("<think>cut off", None),
        ("<think>x</think><answer>B", None),
    ],
)
def test_untagged_answers_follow_closed_reasoning(text: str, answer: str | None) -> None:
    assert untagged(text) == answer


def test_reasoning_may_have_begun_in_the_prompt() -> None:
    assert think_span("so it is B\n</think><answer>B</answer>") == "so it is B"
    assert think_span("<think>so</think>x") == "so"
    assert think_span("<think>so") is None


@pytest.mark.parametrize(
    ("text", "fullmatch", "prefix"),
    [
        ("<think>x</think>\n<answer>B</answer>", True, True),
        (" <think>x</think><answer>B</answer>\n", True, True),
        ("<think>x</think><answer>B</answer> bye", False, True),
        ("<think>x</think> so <answer>B</answer>", False, False),
        ("<think>x</think><answer> </answer>", False, False),
        ("<think>x</think><answer>A</answer><answer>B</answer>", False, False),
        ("<think><think>x</think><answer>B</answer>", False, False),
        ("<answer>B</answer><think>x</think>", False, False),
        ("<answer>B</answer>", False, False),
    ],
)
def test_format(text: str, fullmatch: bool, prefix: bool) -> None:
    assert (has_format(text, "fullmatch"), has_format(text, "prefix")) == (fullmatch, prefix)


@pytest.mark.parametrize(
    "text",
    [
        "<answer>" + " " * 10_000,
        "<think>" + "</think>" * 2_000,
        "<think>" + "</think> <answer>" * 1_000,
        "<think>" + ("</think>" + " " * 100) * 500,
        "<answer></answer>" * 1_000 + "x",
    ],
)
def test_long_adversarial_texts_end(text: str) -> None:
    """As published, the pattern for the answer is cubic in the first of these: it never ends."""
    assert first_answer(text) in (None, "")
    assert not published_format(text, "fullmatch")
    assert not has_format(text, "fullmatch")
    assert not answer_span(text)


@pytest.mark.parametrize(
    ("solution", "answer"),
    [
        ("<answer> B </answer>", "B"),
        ("<think>perhaps <answer>A</answer>? no</think><answer>B</answer>", "B"),
        ("<answer>B</answer> again: <answer>B</answer>", "B"),
        ("<think>perhaps <answer>A</answer></think>", None),
        ("<answer> </answer>", None),
        ("B", None),
        ("<answer>B", None),
        ("<answer>" * 20_000, None),
    ],
)
def test_the_gold_answer_is_the_one_after_the_reasoning(solution: str, answer: str | None) -> None:
    assert gold_answer(solution) == answer


def test_two_different_gold_answers_are_refused() -> None:
    with pytest.raises(ValueError, match="two answers: 'B' and 'C'"):
        gold_answer("<answer>B</answer> or <answer>C</answer>")
