"""Extraction of answer and reasoning from a response.

The default rule reads the answer that was given *after* the reasoning. The published
graders take the first ``<answer>`` of the whole text, hence one that the model only
considered while thinking. All functions here take linear time: the published patterns,
run as written, are cubic in a run of spaces after ``<answer>``.
"""

from __future__ import annotations

import re

_THINK, _THINK_END = "<think>", "</think>"
_ANSWER, _ANSWER_END = "<answer>", "</answer>"
_TAGS = re.compile(r"</?(?:think|answer)>")
_TURN = re.compile(r"</think>\s*<answer>")


def answer_span(text: str) -> str | None:
    """Inside of the last ``<answer>…</answer>`` after the reasoning, stripped; None without one.

    >>> answer_span("<think>perhaps <answer>A</answer>?</think> <answer> B </answer>")
    'B'
    """
    tail = _after_reasoning(text)
    end = tail.rfind(_ANSWER_END)
    start = tail.rfind(_ANSWER, 0, max(end, 0))
    return tail[start + len(_ANSWER) : end].strip() if 0 <= start < end else None


def gold_answer(solution: str) -> str | None:
    """Return the answer of a solution in tags, as the default graders read a response.

    None if nothing but its reasoning holds an ``<answer>``, or if that is empty.

    Raises:
        ValueError: it gives two different answers.
    """
    tail = _after_reasoning(solution)
    found: list[str] = []
    start = tail.find(_ANSWER)
    while start >= 0 and (end := tail.find(_ANSWER_END, start)) >= 0:
        found.append(tail[start + len(_ANSWER) : end].strip())
        start = tail.find(_ANSWER, end)
    if len(set(found)) > 1:
        raise ValueError(f"two answers: {found[0]!r:.40} and {found[-1]!r:.40}")
    return found[0] or None if found else None


def strip_answer_tags(solution: str) -> str:
    """Return a gold answer without ``<answer>`` tags, stripped."""
    found = answer_span(solution)
    return solution.strip() if found is None else found


def think_span(text: str) -> str | None:
    """Reasoning before the last ``</think>``, stripped; None if it was never closed.

    A leading ``<think>`` may be missing: some chat templates put it into the prompt.
    """
    end = text.rfind(_THINK_END)
    return None if end < 0 else text[:end].strip().removeprefix(_THINK).strip()


def untagged(text: str) -> str | None:
    """Return the text after the reasoning in a response without ``<answer>`` tags.

    None if nothing does, or if the reasoning was opened and never closed.
    """
    if _ANSWER in text or _ANSWER_END in text:
        return None
    tail = _after_reasoning(text)
    return None if _THINK in tail else tail.strip() or None


def _after_reasoning(text: str) -> str:
    end = text.rfind(_THINK_END)
    return text if end < 0 else text[end + len(_THINK_END) :]


def has_format(text: str, rule: str) -> bool:
    """Exactly one ``<think>…</think>``, then one non-empty ``<answer>…</answer>``.

    Args:
        rule: ``fullmatch`` allows nothing but white space around them, ``prefix`` allows
            any text after them.
    """
    text = text.strip()
    if _TAGS.findall(text) != [_THINK, _THINK_END, _ANSWER, _ANSWER_END]:
        return False
    whole = text.endswith(_ANSWER_END) or rule == "prefix"
    return bool(text.startswith(_THINK) and whole and _TURN.search(text) and answer_span(text))


# ------------------------------------------------- as the published code reads


def first_answer(text: str, *, unclosed: bool = False) -> str | None:
    r"""Apply the published ``re.search(r"<answer>\s*(.*?)\s*</answer>", text, re.DOTALL)``; strip.

    Args:
        unclosed: let the end of the text close the tag (VidBridge-R1's ``(</answer>|$)``).
    """
    start = text.find(_ANSWER)
    end = text.find(_ANSWER_END, start) if start >= 0 else -1
    if start < 0 or (end < 0 and not unclosed):
        return None
    return text[start + len(_ANSWER) : end if end >= 0 else len(text)].strip()


def published_format(text: str, rule: str) -> bool:
    r"""Match the published pattern ``<think>.*?</think>\s*<answer>.*?</answer>`` with DOTALL.

    Args:
        rule: ``fullmatch`` (Video-R1) or ``prefix`` (``re.match``: Open-R1-Video, VidBridge-R1).
    """
    if not text.startswith(_THINK):
        return False
    if rule == "prefix":
        turn = _TURN.search(text, len(_THINK))
        return turn is not None and text.find(_ANSWER_END, turn.end()) >= 0
    last = len(text) - len(_ANSWER_END)
    return text.endswith(_ANSWER_END) and _TURN.search(text, len(_THINK), last) is not None
