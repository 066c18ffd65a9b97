"""Does the reasoning conclude what the answer says?

A model may reason towards one option and answer another; rewarding that teaches it that
reasoning does not matter. Only a conclusion in so many words is held against an answer
("so the answer is B"); reasoning without one is left alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from kinograd.grading.choice import read_choice
from kinograd.grading.numeric import read_quantity, same_number
from kinograd.types import Kind

_CONCLUSION = re.compile(
    r"\b(?:answer|option|choice)\b\s*"
    r"(?:is|must be|should be|has to be|would be|[:=])\s*",
    re.IGNORECASE,
)
_CLAUSE_END = re.compile(r"[.;!?](?:\s|$)|,\s|\n")
_CLAUSE_CHARS = 120


def is_consistent(
    kind: Kind, reasoning: str | None, answer: str, options: Sequence[str] = ()
) -> bool | None:
    """Whether the last stated conclusion is the answer; None if none can be read.

    Only letters and numbers are compared: two free texts may say the same in other words.

    Raises:
        symbolic.SymbolicError: a formula could not be evaluated.
    """
    reasoning = reasoning or ""
    stated = [found.end() for found in _CONCLUSION.finditer(reasoning)]
    if not stated:
        return None
    conclusion = _CLAUSE_END.split(reasoning[stated[-1] :][:_CLAUSE_CHARS])[0]
    if kind is Kind.MULTIPLE_CHOICE:
        meant, given = read_choice(conclusion, options), read_choice(answer, options)
        return None if meant is None or given is None else meant == given
    if kind in (Kind.NUMERICAL, Kind.REGRESSION):
        number, written = read_quantity(conclusion), read_quantity(answer)
        return None if number is None or written is None else same_number(written, number)
    return None
