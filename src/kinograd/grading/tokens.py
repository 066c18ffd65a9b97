"""Tokens of a short text that may name a number: digits, words and single signs."""

from __future__ import annotations

import re
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""(?P<space>\s+)
      | (?P<number>(?:\d{1,3}(?:,\d{3})+(?![\d])|\d+)(?:\.\d+)?(?:[eE][+-]?\d+(?![\d.,]))?
                  |\.\d+(?:[eE][+-]?\d+(?![\d.,]))?)
      | (?P<word>°[CF]\b|[^\W\d_]+[²³]?(?:/[^\W\d_]+)?(?:['’][^\W\d_]+)*)
      | (?P<sign>.)""",
    re.VERBOSE | re.DOTALL,
)
# "twenty-one", "a 5-minute video"; "B-12" stays a name.
_HYPHEN = re.compile(r"(?<=[A-Za-z])-(?=[A-Za-z])|(?<=\d)-(?=[A-Za-z])")


class Unread(Exception):
    """Part of the text is not understood."""


@dataclass(frozen=True, slots=True)
class Token:
    kind: str
    text: str
    glued: bool
    """No space comes before it."""


def tokenise(text: str) -> list[Token]:
    """Split a text into tokens; words are in lower case, a line break is the sign ``\\n``."""
    tokens: list[Token] = []
    glued = False
    for match in _TOKEN.finditer(_HYPHEN.sub(" ", text)):
        if match.lastgroup == "space":
            glued = False
            if "\n" in match[0]:
                tokens.append(Token("sign", "\n", False))
            continue
        # "M" may be million, metre or molar, "m" is a metre.
        word = match[0] if match[0] == "M" else match[0].lower().replace("’", "'")
        tokens.append(Token(str(match.lastgroup), word, glued))
        glued = True
    return tokens
