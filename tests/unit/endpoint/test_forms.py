"""Reading verdicts: the published parser's holes, and what each form accepts."""

from __future__ import annotations

import json
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinograd.endpoint.forms import (
    EVENT_CHARS,
    EventList,
    LabelPerItem,
    Mode,
    OneLabel,
)
from kinograd.judge.autodq import MAX_EVENTS, RELATIONS
from kinograd.judge.model_judge import expected_value

GRADES, TRUTH = OneLabel(("0", "1", "2")), OneLabel(("False", "True"))

# What the released judge service makes of these replies (2, 2, 2, 2 and true), and a judge
# that quotes the candidate.
HOLES = [
    (GRADES, "Score: 1. It covers 1 of 2 events."),
    (GRADES, "**0** - of the 12 details none match"),
    (GRADES, "I cannot judge; see step 2."),
    (GRADES, "2 is what the response demands, but it deserves 0."),
    (TRUTH, "This is not True: False"),
    (TRUTH, "The answer says 'True', which is no answer."),
]


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize(("form", "reply"), HOLES)
def test_the_published_holes_give_no_verdict(form: OneLabel, reply: str, mode: Mode) -> None:
    assert form.parse(reply, mode) is None


@pytest.mark.parametrize("label", GRADES.labels)
def test_a_label_is_read_in_every_mode(label: str) -> None:
    assert GRADES.parse(label, Mode.CHOICE) == label
    assert GRADES.parse(f" {label}\n", Mode.REGEX) == label
    assert GRADES.parse(json.dumps({"verdict": label}), Mode.JSON_SCHEMA) == label
    assert GRADES.parse(f"It covers 1 of 2 events.\n\n{label}\n", Mode.TEXT) == label


@pytest.mark.parametrize(
    "reply",
    [
        *("", "3", "22", "2.", "2/2", "two", "null", '["2"]', '{"verdict": "2"', '{"score": "2"}'),
        *('{"verdict": 2}', '{"verdict": ["2"]}', '{"verdict": "2", "confidence": 1}'),
    ],
)
@pytest.mark.parametrize("mode", Mode)
def test_anything_else_is_no_verdict(reply: str, mode: Mode) -> None:
    assert GRADES.parse(reply, mode) is None


def test_only_the_last_line_of_free_text_counts() -> None:
    assert GRADES.parse("2\nbecause it matches", Mode.TEXT) is None
    assert GRADES.parse("The candidate says:\n2\nIt is wrong.\n0", Mode.TEXT) == "0"


def test_every_item_gets_exactly_one_label() -> None:
    form = LabelPerItem(3, RELATIONS)
    good = ("entailment", "neutral", "contradiction")
    lines = [f"{i}: {label}" for i, label in enumerate(good, start=1)]
    for mode in (Mode.CHOICE, Mode.TEXT):
        assert form.parse("\n".join(lines), mode) == good
        for bad in (lines[:2], [*lines, lines[0]], [*lines, "4: neutral"], ["Sure:", *lines]):
            assert form.parse("\n".join(bad), mode) is None
        assert form.parse("1: yes\n2: neutral\n3: neutral", mode) is None
        assert form.parse("1: neutral\n1: neutral\n3: neutral", mode) is None
    as_object = {str(i): label for i, label in enumerate(good, start=1)}
    assert form.parse(json.dumps(as_object), Mode.JSON_SCHEMA) == good
    assert form.parse(json.dumps(as_object | {"3": ["neutral"]}), Mode.JSON_SCHEMA) is None
    assert form.parse(json.dumps(as_object | {"4": "neutral"}), Mode.JSON_SCHEMA) is None


def test_events_are_short_lines_without_repetition() -> None:
    form = EventList(MAX_EVENTS)
    assert form.parse("none", Mode.REGEX) == ()
    assert form.parse("- A dog runs.\n\n-  The dog barks.", Mode.TEXT) == (
        "A dog runs.",
        "The dog barks.",
    )
    assert form.parse("- A dog runs.\n- a dog RUNS.", Mode.TEXT) == ("A dog runs.",)
    assert form.parse('{"events": ["A dog runs."]}', Mode.JSON_SCHEMA) == ("A dog runs.",)
    assert form.parse('{"events": []}', Mode.JSON_SCHEMA) == ()
    many = "\n".join(f"- Event {i} happens." for i in range(14))
    assert len(form.parse(many, Mode.TEXT) or ()) == MAX_EVENTS
    for bad in ("", "Here they are:\n- A dog runs.", "none\n- A dog runs.", "- " + "x" * 200, "- "):
        assert form.parse(bad, Mode.TEXT) is None
    for bad in ('{"events": [1]}', '{"events": "x"}', '{"events": [""]}', "[]"):
        assert form.parse(bad, Mode.JSON_SCHEMA) is None


@pytest.mark.parametrize("form", [GRADES, TRUTH, LabelPerItem(4, RELATIONS), EventList(3)])
def test_constraint_and_parser_agree(form: OneLabel | LabelPerItem | EventList) -> None:
    """Whatever the regular expression lets through is a legal reply, within the budget."""
    pattern = form.constraint(Mode.REGEX)["structured_outputs"]["regex"]

    @given(st.from_regex(pattern, fullmatch=True))
    def holds(reply: str) -> None:
        if re.search(r"\s{2}|\s$", reply) is None:
            assert form.parse(reply, Mode.REGEX) is not None
        assert len(reply) <= form.max_tokens(Mode.REGEX)

    holds()


def test_limits_of_length_are_shared_by_constraint_and_parser() -> None:
    form = EventList(1)
    assert form.parse("- " + "x" * EVENT_CHARS, Mode.REGEX) == ("x" * EVENT_CHARS,)
    assert form.parse("- " + "x" * (EVENT_CHARS + 1), Mode.REGEX) is None


def test_expected_value_is_the_mean_under_the_judges_probabilities() -> None:
    values = {"0": 0.0, "1": 1.0, "2": 2.0}
    logprobs = {"2": math.log(0.3), " 1": math.log(0.2), "0": math.log(0.1), "The": math.log(0.4)}
    found = expected_value(values, logprobs)
    assert found is not None
    assert found == (pytest.approx((0.2 + 0.6) / 0.6), pytest.approx(0.6))
    assert expected_value(values, {"The": -0.1, "": -3.0}) is None
    assert expected_value(values, {"2": -math.inf}) is None


def test_a_token_counts_for_the_label_that_it_begins() -> None:
    found = expected_value({"False": 0.0, "True": 1.0}, {"Tr": math.log(0.6), "F": math.log(0.2)})
    assert found == (pytest.approx(0.75), pytest.approx(0.8))
