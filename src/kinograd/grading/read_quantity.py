"""Reader of the one number that an answer names, as it was written.

An answer is split into tokens, and the tokens are parsed: number words, digits with separators,
an exponent, a fraction, a percent sign, a currency, a scale, units (``2 min 30 s``), or a formula,
which math-verify evaluates. Nouns around the number are allowed; whatever changes what the number
means and is not understood leaves the whole answer unread: a negation, a bound (``at least 5``),
a range, a second number, a name (``3D``), an ambiguous mark (``1,5``).
"""

from __future__ import annotations

import itertools
import re
from dataclasses import replace
from fractions import Fraction

from kinograd.grading import symbolic
from kinograd.grading.notation import plain
from kinograd.grading.quantity import MAX_DIGITS, Quantity, agree, parse_digits, power_of_ten
from kinograd.grading.tokens import Token, Unread, tokenise
from kinograd.grading.units import (
    FRACTIONS,
    MONEY_SCALES,
    SCALES,
    UNITS,
    is_cardinal,
    read_cardinal,
)

_MAX_CHARS = 200  # a number, not an essay

_CURRENCIES = {"$", "€", "£", "¥", "usd", "eur", "gbp", "jpy"}
_ORDINAL_ENDS = {"st", "nd", "rd", "th"}
_MINUS = {"-", "minus", "negative"}
_ARTICLES = {"a", "an"}
_FORMULA_SIGNS = set("+*/^√π()-")
# Words and signs that change what a number beside them means.
_CHANGING_WORDS = """not never neither nor no without except unlike between least most under over
    above below up more less fewer greater larger smaller or to through per twice double triple
    squared cubed root factorial minus negative plus times divided point log ln sin cos tan exp abs
    mod nan inf infinity wrong incorrect false cannot isn't aren't wasn't doesn't don't can't
    couldn't won't"""
_CHANGES = set(_CHANGING_WORDS.split())
_CHANGING_SIGNS = set("<>≤≥≠±∓∞\\{}|@&^*+/√π_‰")
# Between two mentions of one number: a new sentence, an apposition, a conclusion.
_RESTARTS = set(".!?;:\n(=") | {"so", "thus", "hence", "therefore", "answer"}
_POINTING = {"the", "this", "that", "which", "each", "every", "any", "some", "another", "other"}


def read_quantity(text: str) -> Quantity | None:
    """Return the one number that ``text`` names; None if it names none, several, or unclearly.

    Raises:
        symbolic.SymbolicError: a formula could not be evaluated.

    >>> read_quantity("about 1,200 km").value, read_quantity("5 or 6")
    (Fraction(1200, 1), None)
    """
    if len(text) > _MAX_CHARS:
        return None
    *before, last = plain(text).strip().split("=")
    # "12 - 3 = 9" is 9; "x = 5, y = 6" are two.
    if any(re.search(r"[,;!<>\n]|\b(?:and|or|not)\b", part) for part in before):
        return None
    try:
        found = _Reader(last).read()
    except Unread:
        return None
    return found


class _Reader:
    """Recursive-descent parser of one short text."""

    def __init__(self, text: str) -> None:
        self._tokens = tokenise(text)
        self._at = 0

    # ------------------------------------------------------------------ tokens

    def _peek(self, ahead: int = 0) -> Token:
        at = self._at + ahead
        return self._tokens[at] if at < len(self._tokens) else Token("end", "", False)

    def _previous(self) -> Token:
        return self._tokens[self._at - 1] if self._at else Token("start", "", False)

    def _words(self, ahead: int = 0) -> list[str]:
        """Return the words from here to the next number or sign."""
        words: list[str] = []
        while (token := self._peek(ahead + len(words))).kind == "word":
            words.append(token.text)
        return words

    # ----------------------------------------------------------------- answers

    def read(self) -> Quantity | None:
        if self._is_formula():
            return self._formula()
        found: Quantity | None = None
        restarted = True
        while (token := self._peek()).kind != "end":
            quantity = self._quantity()
            if quantity is None:
                if token.text in _CHANGES or token.text in _CHANGING_SIGNS:
                    raise Unread
                restarted = restarted or token.text in _RESTARTS
                self._at += 1
            elif found is None:
                found, restarted = quantity, False
            elif not restarted or not agree(found, quantity):
                raise Unread
            else:
                found, restarted = replace(found, unit=found.unit or quantity.unit), False
        return found

    def _quantity(self) -> Quantity | None:
        """Parse sign, currency, number, scale, percent and units; None if none begins here."""
        start, before = self._at, self._previous()
        negative = self._sign(before)
        money = self._peek().text in _CURRENCIES
        currency = self._peek().text if money else None
        self._at += money
        if money and not negative:
            negative = self._sign(before)
        if money and self._peek(1).text == "-" and not self._peek(1).glued:
            raise Unread
        number = self._number(before)
        if number is None:
            if negative and self._at < len(self._tokens) and self._tokens[start].text != "-":
                raise Unread
            self._at = start
            return None
        if number.decimals is None and self._peek().text == "of":
            self._at += 2 * (self._peek(1).text in _ARTICLES)  # three quarters of an hour
        number = self._measured(self._scaled(number, money), currency)
        if negative:
            number = replace(number, value=-number.value)
        self._end_of_number()
        return number

    def _sign(self, before: Token) -> bool:
        token = self._peek()
        if token.text not in _MINUS and token.text != "+":
            return False
        following = self._peek(1)
        starts = following.kind == "number" or following.text in _CURRENCIES
        starts = starts or is_cardinal(following.text) or following.text in FRACTIONS
        starts = starts or (following.text in _ARTICLES and token.text != "-")
        if not starts:
            return False
        if before.kind == "number" or (token.glued and before.kind == "word"):
            raise Unread  # a range, a difference, or a name such as "B-12"
        if before.text in _MINUS or before.text == "+":
            raise Unread
        if token.text == "-" and before.kind == "word" and not following.glued:
            raise Unread  # "cats - 5": a dash or a sign
        self._at += 1
        return token.text in _MINUS

    def _number(self, before: Token) -> Quantity | None:
        token = self._peek()
        if token.kind == "number":
            if token.glued and before.kind in ("word", "number") and before is self._previous():
                raise Unread
            if token.glued and self._previous().text in ",._:":
                raise Unread
            self._at += 1
            return self._mixed(parse_digits(token.text))
        if token.kind == "word":
            return self._in_words(before)
        return None

    def _in_words(self, before: Token) -> Quantity | None:
        words = self._words()
        if words[0] == "half" or (words[0] in _ARTICLES and len(words) > 1):
            first = words[0] in _ARTICLES
            noun = words[first]
            if noun in FRACTIONS and FRACTIONS[noun] in (2, 3, 4):
                self._at += 1 + first
                value = Fraction(1, FRACTIONS[noun])
                self._at += self._peek().text in _ARTICLES  # half an hour
                return Quantity(value, None)
            if first and noun in SCALES and noun != "k":
                self._at += 1
                return Quantity(Fraction(1))
            return None
        value, used = read_cardinal(words)
        if not used:
            return None
        if value == 1 and used == 1 and before.text in _POINTING:
            return None  # "the one on the left"
        self._at += used
        if self._peek().text == "point":
            return self._point(value)
        return self._mixed(Quantity(Fraction(value)))

    def _point(self, value: int) -> Quantity:
        """Parse "point five two" after a cardinal."""
        self._at += 1
        digits = ""
        while (found := read_cardinal(self._words()[:1] or [""]))[1] and found[0] <= 9:
            digits += str(found[0])
            self._at += 1
        if not digits:
            raise Unread
        return Quantity(Fraction(f"{value}.{digits}"), len(digits))

    def _mixed(self, number: Quantity) -> Quantity:
        """Parse what turns a number into a fraction: ``/ 3``, ``1/2``, ``and a half``."""
        token, following = self._peek(), self._peek(1)
        if token.text == "/" and following.kind == "number":
            self._at += 2
            return self._over(number, following.text)
        if token.kind == "number" and following.text == "/" and not token.glued:
            below = self._peek(2)
            self._at += 3
            part = self._over(
                parse_digits(token.text), below.text if below.kind == "number" else ""
            )
            if not number.decimals == 0 or not 0 < part.value < 1:
                raise Unread
            return Quantity(number.value + part.value, None)
        words = self._words()
        if words and words[0] in FRACTIONS and number.decimals == 0:
            self._at += 1
            return Quantity(number.value / FRACTIONS[words[0]], None)
        if words[:1] == ["and"] and len(words) > 2:
            share = 1 if words[1] in _ARTICLES else read_cardinal(words[1:2])[0]
            if share and words[2] in FRACTIONS:
                self._at += 3
                return Quantity(number.value + Fraction(share, FRACTIONS[words[2]]), None)
        return number

    def _over(self, number: Quantity, below: str) -> Quantity:
        if not below.isdigit() or len(below) > MAX_DIGITS or int(below) == 0:
            raise Unread
        if self._peek().text == "/":
            raise Unread  # a date
        return Quantity(number.value / int(below), None)

    def _scaled(self, number: Quantity, money: bool) -> Quantity:
        """Parse ``hundred``, ``million``, and ``M`` beside a currency."""
        token = self._peek()
        scale = SCALES.get(token.text) if token.kind == "word" else None
        if scale is None and (money or self._peek(1).text in _CURRENCIES):
            scale = MONEY_SCALES.get(token.text.lower())
        if scale is None:
            return number
        self._at += 1
        number = Quantity(number.value * scale, 0 if number.decimals is not None else None)
        if self._peek().text in SCALES:
            return self._scaled(number, money)
        skip = int(self._peek().text == "and")
        rest = self._peek(skip)
        if rest.kind == "number" and (skip or not money):
            below = parse_digits(rest.text)
            if below.decimals == 0 and below.value < scale:
                self._at += skip + 1
                return self._scaled(replace(number, value=number.value + below.value), money)
        return number

    def _measured(self, number: Quantity, currency: str | None = None) -> Quantity:
        """Parse a percent sign, a currency, a unit, or several units of one dimension."""
        token = self._peek()
        if token.text in ("%", "percent", "pct") or (
            token.text == "per" and self._peek(1).text == "cent"
        ):
            self._at += 2 if token.text == "per" else 1
            return replace(number, percent=True)
        name = self._unit()
        if currency is not None:
            if name is not None and UNITS[name][0] != UNITS[currency][0]:
                raise Unread
            return replace(number, unit=currency)
        if name is None:
            return number
        return self._compound(replace(number, unit=name))

    def _unit(self) -> str | None:
        token = self._peek()
        name = token.text
        if token.kind not in ("word", "sign"):
            return None
        if name in ("square", "cubic", "sq", "cu") and self._peek(1).text + "²" in UNITS:
            self._at += 2
            return self._previous().text + ("²" if name[0] == "s" else "³")
        if name == "°" and self._peek(1).text in ("c", "f"):
            self._at += 2
            return name + self._previous().text
        if name in UNITS:
            self._at += 1
            return name
        if name == "M":
            raise Unread
        if token.kind == "word" and token.glued:  # "3D" and "7up" are names
            if name not in _ORDINAL_ENDS:
                raise Unread
            self._at += 1
        return None

    def _compound(self, number: Quantity) -> Quantity:
        """Parse smaller units that continue a quantity: ``2 min 30 s``, ``5 ft 11 in``."""
        skip = int(self._peek().text in ("and", ","))
        token, name = self._peek(skip), self._peek(skip + 1)
        first = number.unit
        if token.kind != "number" or first is None or name.kind != "word":
            return number
        unit = {("h", "m"): "min", ("ft", "in"): "inch", ("feet", "in"): "inch"}.get(
            (first, name.text), name.text
        )
        if unit not in UNITS:
            return number
        (dimension, size), (other, smaller) = UNITS[first], UNITS[unit]
        if dimension != other or smaller >= size:
            return number
        part = parse_digits(token.text)
        self._at += skip + 2
        value = number.value * size / smaller + part.value
        exact = number.decimals is not None and part.decimals is not None
        total = Quantity(value, part.decimals if exact else None, False, unit)
        return self._compound(total)

    def _end_of_number(self) -> None:
        """Refuse a number that unknown text follows."""
        token, following = self._peek(), self._peek(1)
        joins = token.text in (",", ".", ":", "_", "-", "/") and token.glued
        if joins and following.kind in ("number", "word") and following.glued:
            raise Unread
        if token.text in ("-", "x") and following.kind == "number":
            raise Unread
        if token.text == "-" and token.glued and following.kind == "end":
            raise Unread

    # ---------------------------------------------------------------- formulas

    def _is_formula(self) -> bool:
        texts = [token.text for token in self._tokens]
        if any(text in ("^", "*", "√", "π") for text in texts):
            return True
        for at, text in enumerate(texts):
            beside = [*texts[at - 1 : at], *texts[at + 1 : at + 2]]
            if text == "+" and at and self._tokens[at - 1].kind != "word":
                return True
            if text == "/" and ("(" in beside or ")" in beside):
                return True
        return False

    def _formula(self) -> Quantity | None:
        """Evaluate the one formula of the text, and read the unit behind it."""
        inside = [t.kind == "number" or t.text in _FORMULA_SIGNS for t in self._tokens]
        if True not in inside:
            return None
        start, end = inside.index(True), len(inside) - inside[::-1].index(True)
        if not all(inside[start:end]):
            raise Unread
        around = [t.text for t in (*self._tokens[:start], *self._tokens[end:])]
        if any(t in _CHANGES or t in _CHANGING_SIGNS or is_cardinal(t) for t in around):
            raise Unread
        numbers = [t.kind == "number" for t in self._tokens[start:end]]
        if any(a and b for a, b in itertools.pairwise(numbers)):
            raise Unread
        formula = "".join(t.text for t in self._tokens[start:end])
        if re.search(r"[+*/^-]\s*$|^\s*[*/^)]", formula) or self._tokens[start].glued:
            raise Unread
        self._at = end
        number = power_of_ten(formula)
        if number is None:
            value = symbolic.value(formula)
            if value is None:
                raise Unread
            number = Quantity(Fraction(value), None)
        return self._measured(self._scaled(number, False))
