"""Free form: the answer is free text, graded by ROUGE or, where a recipe routes it, a judge."""

from __future__ import annotations

from collections.abc import Sequence

from kinograd.grading.text import has_words, text_overlap
from kinograd.kinds.base import AnswerKind, Grade, JudgeQuestion, graded, unreadable
from kinograd.types import Kind, Score


class FreeForm(AnswerKind):
    """Free text; accuracy is the mean F1 of ROUGE-1, -2 and -L, or a judge's true or false."""

    name = Kind.FREE_FORM
    aliases = ("free-form",)
    judge = JudgeQuestion("answer", {"False": 0.0, "True": 1.0})

    def grade(self, answer: str, gold: str, options: Sequence[str] = ()) -> Grade | Score:
        if not has_words(gold):
            return unreadable(gold, "has no words")
        return graded(text_overlap(answer, gold), bool(answer), answer, gold)


KIND = FreeForm()
