"""Consistency of the reasoning's stated conclusion with the answer.

A model may reason towards one option and answer another; rewarding that teaches it that
reasoning does not matter. Only a conclusion in so many words is held against an answer
("so the answer is B"); reasoning without one is left alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from kinograd.kinds import KINDS
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
    """Compare the reasoning's last stated conclusion with the answer; None if it states none.

    Raises:
        symbolic.SymbolicError: a formula could not be evaluated.
    """
    reasoning = reasoning or ""
    stated = [found.end() for found in _CONCLUSION.finditer(reasoning)]
    if not stated:
        return None
    conclusion = _CLAUSE_END.split(reasoning[stated[-1] :][:_CLAUSE_CHARS])[0]
    return KINDS[kind].agree(conclusion, answer, options)
