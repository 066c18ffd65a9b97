"""Token overlap as a judge."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinograd.config.schema import LexicalJudge
from kinograd.judge import build_judges, check_canaries
from kinograd.judge.lexical import clauses, score_lexically, token_f1, tokens
from kinograd.types import JudgeRequest, Kind, UsageError


def score(kind: Kind, reference: str, candidate: str, *events: str) -> Any:
    return score_lexically(JudgeRequest(kind, "q", reference, candidate, events))


def test_words_meet_in_their_stem() -> None:
    assert tokens("He OPENED the doors, opening the door.") == ["open", "door", "open", "door"]
    assert tokens("Der Bär läuft über 3 Brücken") == ["der", "bär", "läuft", "über", "3", "brücken"]
    assert tokens("切开洋葱") == ["切开洋葱"]


def test_token_f1_is_that_of_the_multiset_overlap() -> None:
    assert token_f1(["a", "b", "b"], ["b", "b", "c", "d"]) == pytest.approx(4 / 7)
    assert token_f1([], ["a"]) == token_f1(["a"], []) == 0.0


@given(st.text(max_size=60), st.text(max_size=60))
def test_verdicts_are_in_range_and_perfect_for_the_reference(text: str, other: str) -> None:
    for kind, top in ((Kind.DARK_EVENT, 2.0), (Kind.MIX_VID, 1.0), (Kind.CAPTION, 1.0)):
        verdict = score(kind, text, other)
        assert 0.0 <= verdict.value <= top
        assert verdict.unscored is None
        if tokens(text):
            assert score(kind, text, text).value == top


def test_grades_of_dark_event_and_mix_vid() -> None:
    reference = "season the fish with herbs"
    assert score(Kind.DARK_EVENT, reference, "The cook seasons the fish with herbs.").value == 2.0
    assert score(Kind.DARK_EVENT, reference, "A fish and herbs lie on a plate.").value == 1.0
    assert score(Kind.DARK_EVENT, reference, "A dog barks.").value == 0.0
    assert score(Kind.MIX_VID, "stacking red cups", "He stacks red cups.").label == "True"
    assert score(Kind.MIX_VID, "stacking red cups", "Score: 2").value == 0.0


def test_captions_are_compared_clause_by_clause() -> None:
    reference = "A man opens the door, then he sits down and reads a letter."
    assert len(clauses(reference)) == 3
    verdict = score(Kind.CAPTION, reference, "He reads a letter. He sings. A man opened a door.")
    assert verdict.parts["recall"] == pytest.approx(2 / 3)
    assert verdict.parts["precision"] == pytest.approx(2 / 3)
    given_events = score(Kind.CAPTION, reference, "He reads a letter.", "reads a letter")
    assert given_events.parts["recall"] == 1.0
    empty = score(Kind.CAPTION, reference, "")
    assert (empty.parts["recall"], empty.parts["precision"], empty.value) == (0.0, 0.0, 0.0)


def test_it_is_built_by_name_and_counts_under_a_name_of_its_own() -> None:
    judges = build_judges({"words": LexicalJudge()})
    request = JudgeRequest(Kind.MIX_VID, "q", "red cups", "red cups")
    (verdict,) = asyncio.run(judges["words"].judge([request]))
    assert verdict.parts == {"lexical_f1": 1.0}
    assert judges["words"].metrics() == {"judge_lexical/words/judged": 1.0}  # type: ignore[attr-defined]
    report = asyncio.run(check_canaries(judges["words"]))
    assert report.passed
    assert not report.rows


def test_other_kinds_are_refused() -> None:
    with pytest.raises(UsageError, match="cannot grade kind 'ocr'"):
        score(Kind.OCR, "x", "x")
