"""Regression: the answer names one number, graded by its relative error."""

from __future__ import annotations

from kinograd.grading.numeric import relative_error
from kinograd.grading.quantity import Quantity
from kinograd.kinds.numerical import Numerical
from kinograd.types import Kind


class Regression(Numerical):
    """A number that is nearer or farther; accuracy is 1 - relative error, at least 0."""

    name = Kind.REGRESSION
    graded = True

    def closeness(self, number: Quantity, wanted: Quantity) -> float:
        return 1 - relative_error(number, wanted)


KIND = Regression()
