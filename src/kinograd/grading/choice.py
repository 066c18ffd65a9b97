"""Multiple choice: which option an answer names.

Accepted are ``B``, ``b``, ``(B)``, ``B.``, ``\\boxed{B}``, ``The answer is B``, ``B. its
text`` and the bare text of one option. An answer that names two letters, or a letter with
another option's text, names none.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_MAX_CHARS = 1000  # an answer, not an essay
_WRAPPED = re.compile(r"^\\(?:boxed|text|textbf|mathrm|mathbf)\s*\{(.*)\}$", re.DOTALL)
_OUTER = " \t\r\n$`\"'“”‘’."
_ALONE = re.compile(r"^[(\[{]*([A-Za-z])[)\]}]*[.:,;)!]*$")
_LEAD = re.compile(
    r"^(?:(?:so|thus|hence|therefore)\b,?\s*)?(?:the\s+|my\s+)?(?:(?:final|correct|best|right)\s+)?"
    r"(?:answer|option|choice)\b\s*(?:is|[:=])?\s*(?:(?:option|choice)\b\s*)?:?\s*",
    re.IGNORECASE,
)
_MARKED = re.compile(r"^(?:[(\[]([A-Za-z])[)\]][.:]?|([A-Za-z])\s*[.:)])\s*(.+)$", re.DOTALL)
_SPOKEN = re.compile(r"^([A-Z])(?:\s+[-–—]+)?\s+(.+)$", re.DOTALL)
_OPTION = re.compile(r"^\s*\(?([A-Za-z])\)?[.:)]\s*(.*)$", re.DOTALL)
_SECOND = re.compile(
    r"(?:\b(?:and|or|vs|versus|nor)\b|[,/&+;|])\s*[(\[]?([A-Z])[)\]]?\s*(?=$|[.:;,/&|)])"
    r"|[(\[]([A-Z])[)\]]|(?:^|\s)([A-Z])[.:)]\s|^\W*([A-Z])\W*$"
    r"|\b(?:answer|option|choice)\b\s*(?:is|[:=])\s*(?:option\b\s*)?([A-Z])\b(?!\s+[a-z])"
)
# Nothing but single letters and what joins them: "B C D", "A.B.C.D", "B as well as c".
_LIST = re.compile(
    r"(?:[^\w\s]|\s|\b(?:and|or|also|plus|maybe|possibly|then|as\s+well\s+as)\b|\b[A-Za-z]\b)+"
)


def read_choice(answer: str, options: Sequence[str] = ()) -> str | None:
    """Letter of the option that ``answer`` names; None if none or several.

    Args:
        options: texts in order, with or without their own letters; without them any
            letter is accepted and texts cannot be recognised.

    >>> read_choice("(b)"), read_choice("red", ["A. blue", "B. red"]), read_choice("A or B")
    ('B', 'B', None)
    """
    text = _unwrap(answer[:_MAX_CHARS].replace("**", ""))
    texts = option_texts(options)
    letters = tuple(texts) if texts else tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    if alone := _ALONE.match(text):
        return _member(alone[1].upper(), letters)
    if letter := _by_text(text, texts):
        return letter
    led = _LEAD.match(text)
    text = _unwrap(text[led.end() :]) if led else text
    if alone := _ALONE.match(text):
        return _member(alone[1].upper(), letters)
    if marked := _MARKED.match(text):
        return _agreed((marked[1] or marked[2]).upper(), marked[3], letters, texts)
    spoken = _SPOKEN.match(text)
    # "A dog" and "I see" are sentences; "B because" is a letter.
    if spoken and (led or spoken[1] not in "AI" or re.match(r"^[A-Z]\s+[-–—]", text)):
        return _agreed(spoken[1], spoken[2], letters, texts)
    return _by_text(text, texts) if led else None


def option_texts(options: Sequence[str]) -> dict[str, str]:
    """Letter to normalised text; a leading ``A.``, ``(A)`` or ``A)`` is taken off if all have it.

    >>> option_texts(["A. Red ", "B. blue."])
    {'A': 'red', 'B': 'blue'}
    """
    letters = [chr(ord("A") + i) for i in range(len(options))]
    found = [_OPTION.match(o) for o in options]
    own = [m[1].upper() if m else "" for m in found]
    bare = [m[2] for m in found if m] if own == letters else options
    return {k: _normalise(t) for k, t in zip(letters, bare, strict=True)}


def _agreed(letter: str, rest: str, letters: Sequence[str], texts: dict[str, str]) -> str | None:
    """``letter``, unless what follows it names another option."""
    if texts.get(letter) == _normalise(rest):
        return letter
    other = _by_text(rest, texts)
    named = {m for groups in _SECOND.findall(rest) for m in groups if m in letters}
    if _LIST.fullmatch(rest):
        named |= {m.upper() for m in re.findall(r"\b[A-Za-z]\b", rest)} & set(letters)
    if (other and other != letter) or named - {letter, ""}:
        return None
    return _member(letter, letters)


def _by_text(text: str, texts: dict[str, str]) -> str | None:
    wanted = _normalise(text)
    same = [k for k, t in texts.items() if t and t == wanted]
    return same[0] if len(same) == 1 else None


def _member(letter: str, letters: Sequence[str]) -> str | None:
    return letter if letter in letters else None


def _unwrap(text: str) -> str:
    text = text.strip(_OUTER)
    while found := _WRAPPED.match(text):
        text = found[1].strip(_OUTER)
    return text


def _normalise(text: str) -> str:
    return " ".join(text.casefold().split()).strip(" .!;,\"'“”‘’`")
