"""Questions that give their answer away, stated or quoted (``docs/guide/data-quality.md``).

For multiple choice the gold letter is looked for as *stated*, the text of the gold option as
*quoted*. Short answers are not looked for as quoted: "What colour is the red car?" leaks, but
most such hits ("How many of the 3 men ...": 3) do not.
"""

from __future__ import annotations

import re

from kinograd.grading.extract import strip_answer_tags
from kinograd.kinds import KINDS
from kinograd.types import Example

_WORD = re.compile(r"\w+")
_PLACEHOLDER = re.compile(r"<(?:video|image)>")
_STATED = re.compile(r"\b(?:answer|solution)\b\s*(?:is|:|=)\s*(?=\S)", re.IGNORECASE)
_LONG = 3  # words


def normalised(text: str) -> str:
    """Return the words of a text, case-folded, one space between; without media placeholders.

    >>> normalised("<video>  What's HE doing?")
    'what s he doing'
    """
    return " ".join(_WORD.findall(_PLACEHOLDER.sub(" ", text).casefold()))


def find_leak(example: Example) -> str | None:
    """Return the way in which the question gives the answer away, or None."""
    answer = normalised(strip_answer_tags(example.answer))
    question = f" {normalised(example.question)} "
    if " or " in question:
        return None
    for found in _STATED.finditer(example.question):
        said = f"{normalised(example.question[found.end() :])} "
        if answer and said.startswith(f"{answer} "):
            return f"the question states the answer {strip_answer_tags(example.answer)[:60]!r}"
    own, wrong = KINDS[example.kind].texts(strip_answer_tags(example.answer), example.options)
    answer, others = normalised(own), [normalised(text) for text in wrong]
    quoted = answer.count(" ") >= _LONG - 1 and f" {answer} " in question
    if quoted and not any(other and f" {other} " in question for other in others):
        return f"the question holds the answer {answer[:60]!r} word for word"
    return None
