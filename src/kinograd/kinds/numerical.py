"""Numerical: the answer names one number, right to the digits of the reference."""

from __future__ import annotations

from collections.abc import Sequence

from kinograd.grading.numeric import same_number
from kinograd.grading.quantity import Quantity
from kinograd.grading.read_quantity import read_quantity
from kinograd.kinds.base import AnswerKind, Grade, graded, unreadable
from kinograd.types import Kind, Score


class Numerical(AnswerKind):
    """A number that is right or wrong; accuracy 0 or 1."""

    name = Kind.NUMERICAL
    answer_form = (
        " Please provide the numerical value (e.g., 42 or 3.14) within the <answer> </answer> tags."
    )

    def grade(self, answer: str, gold: str, options: Sequence[str] = ()) -> Grade | Score:
        number, wanted = read_quantity(answer), read_quantity(gold)
        if wanted is None:
            return unreadable(gold, "is not one number")
        if number is None:
            return graded(0.0, False, None, gold)
        return graded(self.closeness(number, wanted), True, answer, gold)

    def closeness(self, number: Quantity, wanted: Quantity) -> float:
        """Return the accuracy of a number, from 0 to 1."""
        return float(same_number(number, wanted))

    def agree(self, stated: str, answer: str, options: Sequence[str] = ()) -> bool | None:
        number, written = read_quantity(stated), read_quantity(answer)
        return None if number is None or written is None else same_number(written, number)


KIND = Numerical()
