"""A number with its unit, as it was written, and the literals that it is read from."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from fractions import Fraction

from kinograd.grading.tokens import Unread

MAX_DIGITS = 60
_MAX_EXPONENT = 300


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number as it was written.

    Attributes:
        value: exact for digits and words; a double for a formula.
        decimals: digits after the point; None for a fraction or a formula.
        percent: a percent sign or word followed it.
        unit: key of ``UNITS``, if a known one stood beside it.
    """

    value: Fraction
    decimals: int | None = 0
    percent: bool = False
    unit: str | None = None


def agree(first: Quantity, second: Quantity) -> bool:
    """Return whether two mentions are of one number."""
    units = {first.unit, second.unit} - {None}
    same_percent = first.percent == second.percent
    return first.value == second.value and same_percent and len(units) <= 1


def parse_digits(text: str) -> Quantity:
    """Read digits with separators, a point and an exponent."""
    digits, _, power = text.lower().replace(",", "").partition("e")
    exponent = int((power or "0")[:6])
    if len(digits) > MAX_DIGITS or abs(exponent) > _MAX_EXPONENT:
        raise Unread
    decimals = max(0, len(digits.partition(".")[2]) - exponent)
    return Quantity(Fraction(digits) * Fraction(10) ** exponent, decimals)


_POWER_OF_TEN = re.compile(
    r"(?P<sign>[+-]?)(?P<number>[\d.,]+)\*10\^(?P<open>\()?(?P<power>[+-]?\d{1,4})(?(open)\))"
)


def power_of_ten(formula: str) -> Quantity | None:
    """Read scientific notation exactly: ``3*10^8``."""
    match = _POWER_OF_TEN.fullmatch(formula)
    if match is None:
        return None
    number = parse_digits(f"{match['number']}e{match['power']}")
    return replace(number, value=-number.value) if match["sign"] == "-" else number
