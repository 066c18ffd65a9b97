r"""LaTeX, Unicode and markdown notations of numbers, made plain without loss.

The result holds digits, words and ``+ - * / ^ ( ) = % √ π °``, and whatever was not understood,
which the reader of numbers then refuses. Nothing that carries meaning is dropped: a raised 2
becomes ``^2``, a dash of any width ``-``, a fraction ``a/b``.
"""

from __future__ import annotations

import re
import unicodedata

_VULGAR = {
    "½": "1/2", "⅓": "1/3", "⅔": "2/3", "¼": "1/4", "¾": "3/4", "⅕": "1/5", "⅖": "2/5",
    "⅗": "3/5", "⅘": "4/5", "⅙": "1/6", "⅚": "5/6", "⅛": "1/8", "⅜": "3/8", "⅝": "5/8", "⅞": "7/8",
}  # fmt: skip
_RAISED = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789-+", strict=True))
_CHARACTERS = str.maketrans(
    dict.fromkeys("−–—‒―﹣", "-")
    | {sign: f" {fraction} " for sign, fraction in _VULGAR.items()}
    | {"⁄": "/", "×": "*", "⋅": "*", "·": "*", "∙": "*", "÷": "/", "≈": "=", "µ": "u", "º": "°"}
)
_RAISED_AFTER_NUMBER = re.compile(rf"(?<=[\d)])[{''.join(_RAISED)}]+")
_COMMANDS = {
    "times": "*", "cdot": "*", "div": "/", "pi": "π", "circ": "°", "degree": "°", "approx": "=",
    "left": "", "right": "", "displaystyle": "", "quad": " ", "qquad": " ",
}  # fmt: skip
_COMMAND = re.compile(rf"\\({'|'.join(_COMMANDS)})(?![A-Za-z])")
_BOX = re.compile(
    r"\\(?:boxed|fbox|text|textbf|textit|mathrm|mathbf|mathit|mbox|operatorname)\s*\{([^{}]*)\}"
)
_ARGUMENT = r"\s*(?:\{([^{}]*)\}|(\d))"
_FRACTION = re.compile(rf"\\[dtc]?frac{_ARGUMENT}{_ARGUMENT}")
_ROOT = re.compile(rf"\\sqrt{_ARGUMENT}|(?<![A-Za-z\\])sqrt\s*\(([^()]*)\)|√\s*(\d+)")
_REWRITES = [
    (re.compile(r"(?<![\w*])(\*\*?)([^*\s](?:[^*]*[^*\s])?)\1(?![\w*])"), r"\2"),  # emphasis
    (re.compile(r"(?<=\d)(?:\{,\}|\\,)(?=\d{3}(?!\d))"), ","),
    (re.compile(r"\\[,!;: ]|\\[()\[\]]|[~`]"), " "),
    (re.compile(r"\\([%$#&])"), r"\1"),
    (re.compile(r"\^\s*(?:\{\s*°\s*\}|°)"), "°"),
    (re.compile(r"\^\s*\{([^{}]*)\}"), r"^(\1)"),
    (re.compile(r"(?<=[A-Za-z])\s*\^\s*\(?2\)?(?!\d)"), "²"),  # a unit's, not a number's power
    (re.compile(r"(?<=[A-Za-z])\s*\^\s*\(?3\)?(?!\d)"), "³"),
    (re.compile(r"\*\*"), "^"),
    (re.compile(r"(?<=\d)\s*[xX]\s*(?=10\s*\^)"), "*"),
    (re.compile(r"(?<![A-Za-z])pi(?![A-Za-z])"), "π"),
]


def plain(text: str) -> str:
    r"""Rewrite the notations of a short text; its length times its nesting bounds the time.

    >>> plain(r"-\frac12"), plain("3 × 10⁸"), plain(r"\boxed{90^\circ}").split()
    ('- 1/2 ', '3 * 10^8', ['90°'])
    """
    text = text.translate(_CHARACTERS)
    text = _RAISED_AFTER_NUMBER.sub(lambda m: "^" + "".join(_RAISED[c] for c in m[0]), text)
    # What is left of raised letters stays: "m²" is a unit.
    text = "".join(c if c in "²³" else unicodedata.normalize("NFKC", c) for c in text)
    text = text.replace("$", "") if _is_maths(text) else text
    text = _COMMAND.sub(lambda m: _COMMANDS[m[1]], text)
    before = ""
    while text != before:  # from the innermost braces outwards
        before = text
        text = _BOX.sub(r" \1 ", text)
        text = _FRACTION.sub(_fraction, text)
        text = _ROOT.sub(_root, text)
        for pattern, replacement in _REWRITES:
            text = pattern.sub(replacement, text)
    return text


def _is_maths(text: str) -> bool:
    """Return whether the dollars of ``text`` enclose formulas instead of naming a currency."""
    dollars = text.count("$") - text.count("\\$")
    # "$5 and $6" are two prices.
    return dollars > 0 and dollars % 2 == 0 and not re.search(r"\$\s*[\d.,]+[^$]*\$\s*\d", text)


def _fraction(match: re.Match[str]) -> str:
    over, under = (match[1] or match[2]).strip(), (match[3] or match[4]).strip()
    if over.lstrip("+-").isdigit() and under.isdigit():
        return f" {over}/{under} "
    return f"(({over})/({under}))"


def _root(match: re.Match[str]) -> str:
    return f"√({next(group for group in match.groups() if group is not None)})"
