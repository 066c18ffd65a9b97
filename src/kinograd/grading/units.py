"""Units and number words that an English answer may hold."""

from __future__ import annotations

import re
from fractions import Fraction

# Name to (dimension, size in the dimension's base unit). A name that is not here is
# taken for a noun: "5 cats" is 5.
UNITS: dict[str, tuple[str, Fraction]] = {
    name: (dimension, Fraction(size))
    for dimension, sizes in {
        "length": {
            "mm millimeter millimeters millimetre millimetres": "1/1000",
            "cm centimeter centimeters centimetre centimetres": "1/100",
            "m meter meters metre metres": "1",
            "km kilometer kilometers kilometre kilometres": "1000",
            "inch inches": "0.0254",
            "ft foot feet": "0.3048",
            "yd yard yards": "0.9144",
            "mi mile miles": "1609.344",
        },
        "mass": {
            "mg milligram milligrams": "1/1000000",
            "g gram grams": "1/1000",
            "kg kilogram kilograms": "1",
            "lb lbs pound pounds": "0.45359237",
            "oz ounce ounces": "0.028349523125",
        },
        "time": {
            "ms millisecond milliseconds": "1/1000",
            "s sec secs second seconds": "1",
            "min mins minute minutes": "60",
            "h hr hrs hour hours": "3600",
            "day days": "86400",
        },
        "volume": {
            "ml milliliter milliliters millilitre millilitres": "1/1000",
            "l liter liters litre litres": "1",
        },
        "speed": {"m/s": "1", "km/h kph": "5/18", "mph": "0.44704"},
    }.items()
    for names, size in sizes.items()
    for name in names.split()
}

SCALES = {"k": 10**3, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}

_SMALL = """zero one two three four five six seven eight nine ten eleven twelve thirteen
    fourteen fifteen sixteen seventeen eighteen nineteen"""
_TEN_WORDS = "twenty thirty forty fifty sixty seventy eighty ninety"
_ONES = {word: value for value, word in enumerate(_SMALL.split())}
_TENS = {word: 10 * value for value, word in enumerate(_TEN_WORDS.split(), start=2)}
_WORDS = re.compile(r"[A-Za-z/]+|[^\sA-Za-z/-]")


def read_words(text: str) -> tuple[int, str] | None:
    """The one number written in words and the word after it; None if there are none or several.

    >>> read_words("There are twenty-one cats"), read_words("two or three")
    ((21, 'cats'), None)
    """
    words = _WORDS.findall(text.lower())
    found: list[tuple[int, str]] = []
    i = 0
    while i < len(words):
        value, used = _run(words[i:])
        if used:
            sign = -1 if i and words[i - 1] in ("minus", "negative") else 1
            found.append((sign * value, words[i + used] if i + used < len(words) else ""))
        i += used or 1
    return found[0] if len(found) == 1 else None


def _run(words: list[str]) -> tuple[int, int]:
    """(value, words used) of the number that ``words`` begins with; (0, 0) if none."""
    total = part = used = 0
    last = ""  # class of the word before: what may follow it
    for i, word in enumerate(words):
        begins = last in ("", "hundred", "scale")
        if word in _ONES and (begins or (last == "tens" and 1 <= _ONES[word] <= 9)):
            part, last = part + _ONES[word], "ones"
        elif word in _TENS and begins:
            part, last = part + _TENS[word], "tens"
        elif word == "hundred" and 1 <= part <= 99 and last in ("ones", "tens"):
            part, last = part * 100, "hundred"
        elif word in SCALES and len(word) > 1 and part:
            total, part, last = total + part * SCALES[word], 0, "scale"
        elif word == "and" and last in ("hundred", "scale"):
            continue
        else:
            break
        used = i + 1
    return total + part, used
