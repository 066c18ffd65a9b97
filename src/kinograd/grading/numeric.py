"""Numbers in answers: reading them, comparing them, and relative error.

The released grader of Video-R1 says that 3 is not 3.0, that 0.001 is 0.004 (both round to
0.00), that 1,5 is 15 and that five is no number. Here a text names a number if it names
exactly one: digits (with thousands separators, an exponent, a fraction, a percent sign or
a unit), number words, or a formula, which math-verify evaluates. ``1,5`` is ambiguous and
names none. Two numbers are the same if they agree to the digits that the reference gives.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from kinograd.grading import symbolic
from kinograd.grading.units import SCALES, UNITS, read_words

_MAX_CHARS = 200  # a number, not an essay
_MAX_DIGITS = 60
_MAX_EXPONENT = 300
_LOST = Fraction(1, 10**9)  # share of the reference that floating point may lose

_VULGAR = {"½": "1/2", "¼": "1/4", "¾": "3/4", "⅓": "1/3", "⅔": "2/3", "⅕": "1/5", "⅛": "1/8"}
_PLAIN = str.maketrans(
    {"−": "-", "⁄": "/", "％": "%"}
    | dict.fromkeys("$€£¥\u00a0\u202f\u2009", " ")
    | {sign: f" {fraction}" for sign, fraction in _VULGAR.items()}
    | {chr(0xFF10 + i): str(i) for i in range(10)}
)
_LATEX = [
    (re.compile(r"(?<![\w*])\*\*([^*]+)\*\*(?![\w*])"), r"\1"),
    (re.compile(r"^\s*\\boxed\s*\{(.*)\}[\s.]*$", re.DOTALL), r"\1"),
    (re.compile(r"\\(?:text|mathrm)\s*\{([^{}]*)\}"), r" \1 "),
    (re.compile(r"\\[dt]?frac\s*\{(-?\d+)\}\s*\{(\d+)\}"), r" \1/\2 "),
    (re.compile(r"\\%"), "%"),
    (re.compile(r"(?<=[\d)])²"), "^2"),  # 5² is not 5
    (re.compile(r"(?<=[\d)])³"), "^3"),
    (re.compile(r"\\[,!;]|(?<=\d)\{,\}(?=\d{3})|\\[()]"), ""),
]
_FORMULA = re.compile(r"\\[A-Za-z]|[\^*√π×÷]|\bsqrt\b|\bpi\b|\w\s*\+\s*\w|\)\s*/|/\s*\(")
_UNIT_AT_END = re.compile(r"\s+([A-Za-z]+(?:/[A-Za-z]+)?)[\s.]*$")
_NUMBER = re.compile(
    r"""(?<![\w.,])(?<!\d:)
        (?P<sign>[+-])?(?P<number>\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)
        (?:[eE](?P<exponent>[+-]?\d+))?(?![.,:]?\d|_)
        (?:\s+(?P<over>\d+)\s*/\s*(?P<under>\d+)|\s*/\s*(?P<denominator>\d+))?(?!\s*/\s*\d)
        (?:\s*(?P<percent>%|percent\b|per\s+cent\b))?
        (?P<space>\s*)(?P<word>[A-Za-zµ]+(?:/[A-Za-z]+)?)?(?:\s+(?P<next>[A-Za-z/]+))?""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number as it was written.

    Attributes:
        value: exact for digits and words; a double for a formula.
        decimals: digits after the point; None for a fraction or a formula.
        percent: a percent sign or word followed it.
        unit: key of ``UNITS``, if a known one followed it.
    """

    value: Fraction
    decimals: int | None = 0
    percent: bool = False
    unit: str | None = None


def read_quantity(text: str) -> Quantity | None:
    """The one number that ``text`` names; None if it names none or several.

    Raises:
        symbolic.SymbolicError: a formula could not be evaluated.

    >>> read_quantity("about 1,200 km").value, read_quantity("5 or 6")
    (Fraction(1200, 1), None)
    """
    if len(text) > _MAX_CHARS:
        return None
    text = text.translate(_PLAIN)
    for pattern, replacement in _LATEX:
        text = pattern.sub(replacement, text)
    text = text.rsplit("=", 1)[-1].strip(" \t\r\n`")
    if _FORMULA.search(text):
        return _formula(text)
    if any(c.isdigit() for c in text):
        found = [_quantity(match) for match in _NUMBER.finditer(text)]
        if None in found or len({q.value for q in found if q}) != 1:
            return None
        return found[0]
    words = read_words(text)
    if words is None:
        return None
    return Quantity(Fraction(words[0]), 0, words[1] == "percent", _unit(words[1]))


def same_number(answer: Quantity, reference: Quantity) -> bool:
    """Whether ``answer`` is ``reference`` to the digits that the reference gives.

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
    """abs(answer - reference) / abs(reference), at most 1; 1 for any error on a reference of 0."""
    error = min((abs(v - reference.value) for v in _in_terms_of(answer, reference)), default=None)
    if error == 0:
        return 0.0
    if error is None or reference.value == 0:
        return 1.0
    return float(min(Fraction(1), error / abs(reference.value)))


def mean_relative_accuracy(answer: float, reference: float) -> float:
    """VSI-Bench (Yang et al. 2024): share of theta in {.5, .55 … .95} with error <= 1 - theta.

    The error is relative to abs(reference); a reference of 0 is met exactly or not at all.
    """
    if reference == 0:
        return float(answer == 0)
    error = abs(answer - reference) / abs(reference)
    return float(np.mean(error <= 1 - np.linspace(0.5, 0.95, 10)))


def _formula(text: str) -> Quantity | None:
    tail = _UNIT_AT_END.search(text)
    unit = _unit(tail[1]) if tail else None
    value = symbolic.value(text[: tail.start()] if tail and unit else text.rstrip(" ."))
    return None if value is None else Quantity(Fraction(value), None, False, unit)


def _quantity(match: re.Match[str]) -> Quantity | None:
    digits = match["number"].replace(",", "")
    exponent = int((match["exponent"] or "0")[:6])
    if len(digits) > _MAX_DIGITS or abs(exponent) > _MAX_EXPONENT:
        return None
    value = Fraction(digits) * Fraction(10) ** exponent
    decimals = max(0, len(digits.partition(".")[2]) - exponent)
    if below := match["under"] or match["denominator"]:
        if len(below) > _MAX_DIGITS or int(below) == 0:
            return None
        part = Fraction(int(match["over"] or 0), int(below))
        value = value + part if match["under"] else value / int(below)
    fraction = bool(match["under"] or match["denominator"])
    word = (match["word"] or "").lower()
    attached = match["space"] == "" and match["percent"] is None
    if scale := SCALES.get(word):
        value, word, decimals = value * scale, (match["next"] or "").lower(), 0
    elif word and attached and word not in UNITS and word not in ("st", "nd", "rd", "th"):
        return None  # "3D" and "7up" are names
    value = -value if match["sign"] == "-" else value
    return Quantity(value, None if fraction else decimals, bool(match["percent"]), _unit(word))


def _unit(word: str) -> str | None:
    return word.lower() if word.lower() in UNITS else None


def _in_terms_of(answer: Quantity, reference: Quantity) -> list[Fraction]:
    """Values that ``answer`` may stand for, in the unit and percent of ``reference``."""
    value = answer.value
    if answer.unit and reference.unit:
        (dimension, size), (wanted, wanted_size) = UNITS[answer.unit], UNITS[reference.unit]
        if dimension != wanted:
            return []
        value = value * size / wanted_size
    if answer.percent == reference.percent:
        return [value]
    return [value, value / 100 if answer.percent else value * 100]
