"""Units and number words that an English answer may hold."""

from __future__ import annotations

from collections.abc import Sequence
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
        "angle": {"° deg degree degrees": "1"},
        "celsius": {"°c celsius": "1"},
        "fahrenheit": {"°f fahrenheit": "1"},
        "dollar": {"$ usd dollar dollars": "1"},
        "euro": {"€ eur euro euros": "1"},
        "pound sterling": {"£ gbp": "1"},
        "yen": {"¥ jpy yen": "1"},
    }.items()
    for names, size in sizes.items()
    for name in names.split()
}

_POWERS = {"²": 2, "³": 3}
UNITS |= {
    name + sign: (f"{dimension}{sign}", size**power)
    for name, (dimension, size) in UNITS.items()
    if dimension == "length"
    for sign, power in _POWERS.items()
}
_SCALE_WORDS = {
    "dozen": 12, "hundred": 100, "thousand": 10**3, "lakh": 10**5, "million": 10**6,
    "crore": 10**7, "billion": 10**9, "trillion": 10**12,
}  # fmt: skip
SCALES = _SCALE_WORDS | {f"{name}s": size for name, size in _SCALE_WORDS.items()}
SCALES |= {"k": 10**3, "mn": 10**6, "mln": 10**6, "bn": 10**9}
MONEY_SCALES = {"m": 10**6, "b": 10**9}
"""Short scales that are clear beside a currency only: elsewhere 5 m is a length."""

_SMALL = """zero one two three four five six seven eight nine ten eleven twelve thirteen
    fourteen fifteen sixteen seventeen eighteen nineteen"""
_TEN_WORDS = "twenty thirty forty fifty sixty seventy eighty ninety"
_ONES = {word: value for value, word in enumerate(_SMALL.split())}
_TENS = {word: 10 * value for value, word in enumerate(_TEN_WORDS.split(), start=2)}
_ORDINALS = {
    "third": 3, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8, "ninth": 9,
    "tenth": 10, "twentieth": 20, "hundredth": 100, "thousandth": 1000,
}  # fmt: skip
FRACTIONS = {"half": 2, "halves": 2, "quarter": 4, "quarters": 4} | {
    name + plural: value for name, value in _ORDINALS.items() for plural in ("", "s")
}
"""Nouns of fractions and their denominators; "second" is a unit."""


def is_cardinal(word: str) -> bool:
    """Return whether a number in words may begin with ``word``."""
    return word in _ONES or word in _TENS


def read_cardinal(words: Sequence[str]) -> tuple[int, int]:
    """Return (value, words used) of the number that ``words`` begins with; (0, 0) if none.

    >>> read_cardinal("one hundred and five cats".split())
    (105, 4)
    """
    total = part = used = 0
    last = ""  # class of the word before: it limits what may follow
    for i, word in enumerate(words):
        begins = last in ("", "hundred", "scale")
        if word in _ONES and (begins or (last == "tens" and 1 <= _ONES[word] <= 9)):
            part, last = part + _ONES[word], "ones"
        elif word in _TENS and begins:
            part, last = part + _TENS[word], "tens"
        elif word == "hundred" and 1 <= part <= 99 and last in ("ones", "tens"):
            part, last = part * 100, "hundred"
        elif word != "hundred" and word in SCALES and len(word) > 3 and part:
            total, part, last = total + part * SCALES[word], 0, "scale"
        elif word == "and" and last in ("hundred", "scale"):
            continue
        else:
            break
        used = i + 1
    return total + part, used
