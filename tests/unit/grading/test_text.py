from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinograd.grading import keywords, text

words = st.lists(
    st.sampled_from(["a", "cat", "sat", "on", "mat", "猫", "é"]), min_size=1, max_size=6
)
sentences = words.map(" ".join)


def edit_distance(a: list[str], b: list[str]) -> int:
    """By recursion over prefixes, unlike any grader."""
    if not a or not b:
        return len(a) + len(b)
    swap = edit_distance(a[1:], b[1:]) + (a[0] != b[0])
    return min(swap, 1 + edit_distance(a[1:], b), 1 + edit_distance(a, b[1:]))


@given(words, words)
def test_word_error_rate(answer: list[str], reference: list[str]) -> None:
    expected = max(0.0, 1 - edit_distance(reference, answer) / len(reference))
    assert text.transcription_accuracy("  ".join(answer), "\n".join(reference)) == expected


def test_transcriptions_are_compared_after_normalisation() -> None:
    assert text.transcription_accuracy("ﬁre ｅｘｉｔ", "fire exit") == 1.0
    assert text.published_ocr("ﬁre ｅｘｉｔ", "fire exit") == 0.0


def test_the_published_transcription_grader_gives_one_to_nothing_for_nothing() -> None:
    assert text.published_ocr("", "") == 1.0
    assert text.published_ocr("x", "") == 0.0


@given(sentences, sentences)
def test_overlap_is_between_0_and_1_and_1_for_the_same_text(answer: str, reference: str) -> None:
    assert 0.0 <= text.text_overlap(answer, reference) <= 1.0
    assert text.text_overlap(reference.upper(), reference) == pytest.approx(1.0)
    assert text.text_overlap("", reference) == 0.0


def test_overlap_equals_the_published_mean_on_latin_sentences() -> None:
    answer, reference = "the men are running home quickly", "a man runs home"
    assert text.text_overlap(answer, reference) == text.published_free_form(answer, reference) > 0.1


def test_an_exact_answer_of_one_word_or_another_script_is_right() -> None:
    assert text.published_free_form("cat", "cat") == pytest.approx(2 / 3)
    assert text.published_free_form("一只狗", "一只狗") == 0.0
    assert text.text_overlap("Cat.", "cat") == 1.0
    assert text.text_overlap("一只狗", "一只狗") == 1.0
    assert text.text_overlap("一只狗", "一只猫") == pytest.approx((2 / 3 + 1 / 2 + 2 / 3) / 3)


@pytest.mark.parametrize("answer", ["y" * 10_000, "ab " * 3_000, "狗" * 3_000, "\n" * 10_000])
def test_long_adversarial_texts_end(answer: str) -> None:
    assert text.text_overlap(answer, "a cat sat on the mat") < 0.1
    assert text.transcription_accuracy(answer, "a cat sat on the mat") == 0.0


# -------------------------------------------------------------------- captions


@given(st.lists(st.sampled_from([*keywords.ORDER, *keywords.DOUBT, "dog", "concerned", "mayor"])))
def test_keywords_stay_within_their_limits(phrases: list[str]) -> None:
    found = keywords.keyword_reward(" , ".join(phrases))
    assert -0.4 <= found <= 0.4
    expected = len(set(phrases) & set(keywords.ORDER)) - len(set(phrases) & set(keywords.DOUBT))
    assert found == pytest.approx(max(-0.4, min(0.4, 0.2 * expected)))


def test_keywords_are_whole_words() -> None:
    harmless = "The concerned mayor strengthens his arms for seconds, thereupon."
    assert keywords.keyword_reward(harmless) == 0.0
    # once, then, second, may: three words of order, wiped out by one of doubt
    assert keywords.published_keyword_reward(harmless) == pytest.approx(-0.2)


def test_nested_phrases_count_once() -> None:
    assert keywords.keyword_reward("To begin with, he sits.") == 0.2
    assert keywords.published_keyword_reward("To begin with, he sits.") == 0.4
    assert keywords.keyword_reward("First he sits. First he sits.") == 0.2


def test_the_lists_have_the_published_lengths() -> None:
    assert len(keywords.ORDER) == len(set(keywords.ORDER)) == 29
    assert len(keywords.DOUBT) == len(set(keywords.DOUBT)) == 38
    assert all(re.fullmatch("[a-z ]+", phrase) for phrase in keywords.ORDER + keywords.DOUBT)
