"""Comparison of numbers: equality to the digits of a reference, and relative error.

The released grader of Video-R1 says that 3 is not 3.0, that 0.001 is 0.004 (both round to
0.00) and that 1,5 is 15. Here two numbers are the same if they agree to the digits that the
reference gives.
"""

from __future__ import annotations

from fractions import Fraction

from kinograd.grading.quantity import Quantity
from kinograd.grading.units import UNITS

_LOST = Fraction(1, 10**9)  # share of the reference that floating point may lose


def same_number(answer: Quantity, reference: Quantity) -> bool:
    """Return whether ``answer`` is ``reference`` to the digits that the reference gives.

    A missing unit or percent sign is forgiven (50 is 50 %, and so is 0.5), a different unit
    is converted, a unit of another dimension is wrong.
    """
    exact = answer.decimals is not None and reference.decimals is not None
    tolerance = Fraction(0) if exact else _LOST * abs(reference.value)
    if reference.decimals:
        tolerance = max(tolerance, Fraction(1, 2 * 10**reference.decimals))
    elif reference.decimals is None and (answer.decimals or 0) >= 2:
        tolerance = max(tolerance, Fraction(1, 2 * 10 ** (answer.decimals or 0)))
    return any(abs(v - reference.value) <= tolerance for v in _in_terms_of(answer, reference))


def relative_error(answer: Quantity, reference: Quantity) -> float:
    """Return abs(answer - reference) / abs(reference), at most 1.

    Any error on a reference of 0 counts 1.
    """
    error = min((abs(v - reference.value) for v in _in_terms_of(answer, reference)), default=None)
    if error == 0:
        return 0.0
    if error is None or reference.value == 0:
        return 1.0
    return float(min(Fraction(1), error / abs(reference.value)))


def _in_terms_of(answer: Quantity, reference: Quantity) -> list[Fraction]:
    """Return the values that ``answer`` may mean, in the unit and percent of ``reference``."""
    value = answer.value
    if answer.unit and reference.unit:
        (dimension, size), (wanted, wanted_size) = UNITS[answer.unit], UNITS[reference.unit]
        if dimension != wanted:
            return []
        value = value * size / wanted_size
    if answer.percent == reference.percent:
        return [value]
    return [value, value / 100 if answer.percent else value * 100]
