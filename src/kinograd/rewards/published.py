"""Task rewards exactly as the papers' code computes them, faults included.

=============================  =========================================================
mode                           source
=============================  =========================================================
published:video_r1             Video-R1 (arXiv 2503.21776), src/r1-v/src/open_r1/grpo.py
published:video_r1_eval        the same, src/eval_bench.py
published:vidbridge            VidBridge-R1 = VersaVid-R1 (arXiv 2506.09079), grpo.py
published:open_r1_video        Open-R1-Video, grpo.py as of the released model
published:open_r1_video_v1     Open-R1-Video, grpo.py of the first commit
published:dvd_counting         Video-R1's preliminary version, grpo.py
published:dvd_counting_eval    the same, test_qwen2vl_video_counting.py
=============================  =========================================================

The rules that call math-verify do what the installed version of it does. Two things are
not reproduced: a crash of the released code, and a hang (a formula that math-verify cannot
finish counts as "not equivalent", as its own time-out does).
"""

from __future__ import annotations

import re

import numpy as np

from kinograd.grading import symbolic, text
from kinograd.grading.extract import first_answer
from kinograd.types import Kind

_LINE_ANSWER = re.compile(r"<answer>(.*?)</answer>")  # no DOTALL: within one line
_INTEGER_ANSWER = re.compile(r"<answer>\s*(\d+)\s*</answer>")
_LETTERS = "ABCDEFG"

_RULED = frozenset(
    {Kind.MULTIPLE_CHOICE, Kind.NUMERICAL, Kind.OCR, Kind.FREE_FORM, Kind.REGRESSION}
)
_UNNAMED = frozenset({Kind.MULTIPLE_CHOICE, Kind.NUMERICAL, Kind.FREE_FORM})
JUDGED = frozenset({Kind.DARK_EVENT, Kind.MIX_VID, Kind.CAPTION})
# Kinds that the source trained or tested on; Open-R1-Video's data name none, and its rules know
# none: math-verify, then first letters (or whole answers), whatever the answer is.
KINDS: dict[str, frozenset[Kind]] = {
    "default": _RULED | JUDGED,
    "published:video_r1": _RULED,
    "published:video_r1_eval": _RULED,
    "published:vidbridge": JUDGED | {Kind.MULTIPLE_CHOICE},
    "published:open_r1_video": _UNNAMED,
    "published:open_r1_video_v1": _UNNAMED,
    "published:dvd_counting": frozenset({Kind.NUMERICAL}),
    "published:dvd_counting_eval": frozenset({Kind.NUMERICAL}),
}


def has_rule(mode: str, kind: Kind) -> bool:
    """Whether the source's code computes anything; Video-R1's gives 0 to any other kind."""
    return kind in KINDS[mode] or mode.startswith("published:video_r1")


def tagged(mode: str, solution: str) -> str:
    """``solution`` in the tags that the source's data has; one with tags is left alone.

    The spaces of DVD-counting matter: math-verify finds no number in ``<answer>1</answer>``.
    """
    if "<answer>" in solution:
        return solution
    space = " " if mode.startswith("published:dvd_counting") else ""
    return f"<answer>{space}{solution}{space}</answer>"


def accuracy(mode: str, kind: Kind, completion: str, solution: str) -> float:
    """Task reward of a kind that needs no judge.

    Args:
        solution: gold answer, with or without tags.
    """
    solution = tagged(mode, solution)
    match mode:
        case "published:video_r1":
            answer, gold = first_answer(completion) or "", first_answer(solution) or ""
            return _video_r1(kind, answer, gold)
        case "published:video_r1_eval":
            answer, gold = first_answer(completion) or completion, first_answer(solution) or ""
            return _video_r1_eval(kind, answer.strip(), gold)
        case "published:vidbridge":
            answer = first_answer(completion, unclosed=True)
            letter = None if answer is None else _vidbridge_letter(answer)
            return _verified(completion, solution) or float(letter == _gold(solution)[:1] != "")
        case "published:open_r1_video":
            answer = first_answer(completion) or ""
            same = answer[:1] == _gold(solution)[:1] != ""
            return _verified(completion, solution) or float(same)
        case "published:open_r1_video_v1":
            answer = first_answer(completion)
            answer = completion.strip() if answer is None else answer
            return _verified(completion, solution) or float(answer == _gold(solution))
        case "published:dvd_counting":
            return _verified(completion, solution) or _dvd_counting(completion, solution)
        case "published:dvd_counting_eval":
            return _dvd_counting_eval(completion, solution)
        case _:
            raise ValueError(f"unknown mode {mode!r}")


def judged_texts(completion: str, solution: str) -> tuple[str, str]:
    """(answer, reference) that VidBridge-R1's judges compare; an answer of "" scores 0."""
    answer = first_answer(completion, unclosed=True) or ""
    reference = first_answer(tagged("published:vidbridge", solution))
    return answer, "None" if reference is None else reference


def _gold(solution: str) -> str:
    found = first_answer(solution)
    return solution.strip() if found is None else found


def _verified(completion: str, solution: str) -> float:
    return float(symbolic.equivalent(completion, solution))


# ------------------------------------------------------------------- Video-R1


def _video_r1(kind: Kind, answer: str, gold: str) -> float:
    match kind:
        case Kind.MULTIPLE_CHOICE:
            return float(answer == gold)
        case Kind.NUMERICAL:
            return _video_r1_numerical(answer, gold)
        case Kind.OCR:
            return text.published_ocr(answer, gold)
        case Kind.FREE_FORM:
            return text.published_free_form(answer, gold)
        case Kind.REGRESSION:
            number, wanted = _float(answer), _float(gold)
            if number is None or wanted is None:
                return 0.0
            error = (abs(number - wanted) + 1e-9) / (abs(wanted) + 1e-9)
            # max and min in this order turn an answer of "nan" into a reward of 1.
            return 1 - min(1.0, max(0.0, error))
        case _:
            return 0.0


def _video_r1_numerical(answer: str, gold: str) -> float:
    if _has_mark(answer) != _has_mark(gold):
        return 0.0
    number, wanted = _float(answer), _float(gold)
    if number is None or wanted is None:
        return 0.0
    return float(round(number, 2) == round(wanted, 2))


def _video_r1_eval(kind: Kind, answer: str, gold: str) -> float:
    if kind is Kind.REGRESSION:
        number, wanted = _float(answer), _float(gold)
        return 0.0 if number is None or wanted is None else _video_r1_mra(number, wanted)
    return _video_r1(kind, answer, gold) if kind in (Kind.MULTIPLE_CHOICE, Kind.NUMERICAL) else 0.0


def _video_r1_mra(answer: float, gold: float) -> float:
    """Mean relative accuracy in float32 and with a strict ``<``, as eval_bench.py has it."""
    with np.errstate(all="ignore"):
        number, wanted = np.float32(answer), np.float32(gold)
        error = np.abs(number - wanted) / (np.abs(wanted) + np.float32(1e-8))
        limits = np.float32(1) - np.arange(0.5, 0.975, 0.05).astype(np.float32)
        return float((error < limits).astype(np.float32).mean())


def _has_mark(number: str) -> bool:
    return "." in number or "," in number


def _float(number: str) -> float | None:
    try:
        return float(number.replace(",", ""))
    except ValueError:
        return None


# --------------------------------------------------- VidBridge-R1, DVD-counting


def _vidbridge_letter(answer: str) -> str:
    """The letter that the released chain of substring tests finds first, else the answer."""
    for letter in _LETTERS:
        if f"{letter}." in answer or f"{{{letter}}}" in answer:
            return letter
    for letter in _LETTERS:
        if f"{letter.lower()}. " in answer:
            return letter
    return answer


def _dvd_counting(completion: str, solution: str) -> float:
    answer, gold = _LINE_ANSWER.search(completion), _LINE_ANSWER.search(solution)
    given = answer[1] if answer else completion
    return float(given.strip() == (gold[1] if gold else solution).strip())


def _dvd_counting_eval(completion: str, solution: str) -> float:
    answer, gold = _INTEGER_ANSWER.search(completion), _INTEGER_ANSWER.search(solution)
    if answer is None or gold is None:
        return 0.0
    # Compared as text: int() of thousands of digits raises. \d takes digits of any script.
    return float(_digits(answer[1]) == _digits(gold[1]))


def _digits(number: str) -> str:
    return "".join(str(int(d)) for d in number).lstrip("0")
