"""Multiple choice: the answer names one of the options by its letter or its text."""

from __future__ import annotations

from collections.abc import Sequence

from kinograd.grading.choice import lettered, option_texts, options_fault, read_choice
from kinograd.kinds.base import AnswerKind, Grade, graded, unreadable
from kinograd.types import Kind, Score


class MultipleChoice(AnswerKind):
    """One option of several; accuracy 0 or 1."""

    name = Kind.MULTIPLE_CHOICE
    aliases = ("multiple choice", "MCQA")
    answer_form = (
        " Please provide only the single option letter (e.g., A, B, C, D, etc.) within the "
        "<answer> </answer> tags."
    )

    def grade(self, answer: str, gold: str, options: Sequence[str] = ()) -> Grade | Score:
        wanted, given = read_choice(gold, options), read_choice(answer, options)
        if wanted is None:
            return unreadable(gold, "names no option")
        return graded(float(given == wanted), given is not None, given, wanted)

    def check_options(self, gold: str, options: Sequence[str]) -> str | None:
        if fault := options_fault(options):
            return fault
        if options and read_choice(gold, options) is None:
            return f"the answer {gold[:60]!r} names none of the options"
        return None

    def shown_options(self, options: Sequence[str]) -> tuple[str, ...]:
        return lettered(options)

    def canonical(self, answer: str, options: Sequence[str] = ()) -> str | None:
        return read_choice(answer, options)

    def texts(self, gold: str, options: Sequence[str] = ()) -> tuple[str, tuple[str, ...]]:
        texts = option_texts(options)
        letter = read_choice(gold, options)
        own = texts.pop(letter, "") if letter else ""
        return own, tuple(texts.values())

    def agree(self, stated: str, answer: str, options: Sequence[str] = ()) -> bool | None:
        meant, given = read_choice(stated, options), read_choice(answer, options)
        return None if meant is None or given is None else meant == given


KIND = MultipleChoice()
