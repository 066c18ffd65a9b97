"""Kinds of answers: one object per kind holds all that depends on it.

A new kind is a file here with a subclass of ``AnswerKind``, its name in ``types.Kind``, and a
line in ``KINDS``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kinograd.grading.extract import has_format
from kinograd.grading.symbolic import SymbolicError
from kinograd.kinds import (
    caption,
    dark_event,
    free_form,
    mix_vid,
    multiple_choice,
    numerical,
    ocr,
    regression,
)
from kinograd.kinds.base import AnswerKind, Grade, JudgeQuestion
from kinograd.types import Kind

__all__ = [
    "JUDGED_KINDS",
    "KINDS",
    "AnswerKind",
    "Grade",
    "JudgeQuestion",
    "check_gold",
    "kind_named",
]

KINDS: Mapping[Kind, AnswerKind] = {
    module.KIND.name: module.KIND
    for module in (
        multiple_choice,
        numerical,
        ocr,
        free_form,
        regression,
        dark_event,
        mix_vid,
        caption,
    )
}
JUDGED_KINDS = frozenset(name for name, kind in KINDS.items() if kind.judge is not None)
"""Kinds that a judge may grade; some of them have a rule too."""


def kind_named(name: str) -> Kind | None:
    """Return the kind of this name or published alias; None if there is none."""
    for kind in KINDS.values():
        if name == kind.name.value or name in kind.aliases:
            return kind.name
    return None


def check_gold(kind: Kind, gold: str, options: Sequence[str] = ()) -> str | None:
    """Return why a gold answer fails its own grader; None if it passes.

    A kind that needs a judge passes with any text that answer tags can hold.
    """
    if not has_format(f"<think></think><answer>{gold}</answer>", "fullmatch"):
        return "the answer is empty or holds tags"
    try:
        return KINDS[kind].check_gold(gold, options)
    except SymbolicError as error:
        return str(error)
