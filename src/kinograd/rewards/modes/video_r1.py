"""Video-R1 (arXiv 2503.21776): ``grpo.py`` of its training, ``eval_bench.py`` of its evaluation."""

from __future__ import annotations

import numpy as np

from kinograd.config.rewards import RewardConfig
from kinograd.grading import text
from kinograd.grading.extract import first_answer
from kinograd.rewards.modes.base import Mode
from kinograd.types import Kind


class VideoR1(Mode):
    """src/r1-v/src/open_r1/grpo.py; a kind that it does not know gets 0."""

    name = "published:video_r1"
    kinds = frozenset(
        {Kind.MULTIPLE_CHOICE, Kind.NUMERICAL, Kind.OCR, Kind.FREE_FORM, Kind.REGRESSION}
    )

    def has_rule(self, kind: Kind) -> bool:
        return True  # its code ends in "else: reward = 0.0"

    def accuracy(self, kind: Kind, completion: str, solution: str) -> float:
        rule = _TRAINING.get(kind)
        answer, gold = first_answer(completion) or "", first_answer(solution) or ""
        return 0.0 if rule is None else rule(answer, gold)


class VideoR1Eval(VideoR1):
    """src/eval_bench.py; it scores options, numbers and regression only."""

    name = "published:video_r1_eval"

    def read_answer(self, completion: str, reward: RewardConfig) -> str | None:
        return (first_answer(completion) or completion).strip()

    def accuracy(self, kind: Kind, completion: str, solution: str) -> float:
        rule = _EVALUATION.get(kind)
        answer, gold = first_answer(completion) or completion, first_answer(solution) or ""
        return 0.0 if rule is None else rule(answer.strip(), gold)


def _same_text(answer: str, gold: str) -> float:
    return float(answer == gold)


def _numerical(answer: str, gold: str) -> float:
    if _has_mark(answer) != _has_mark(gold):
        return 0.0
    number, wanted = _float(answer), _float(gold)
    if number is None or wanted is None:
        return 0.0
    return float(round(number, 2) == round(wanted, 2))


def _regression(answer: str, gold: str) -> float:
    number, wanted = _float(answer), _float(gold)
    if number is None or wanted is None:
        return 0.0
    error = (abs(number - wanted) + 1e-9) / (abs(wanted) + 1e-9)
    # max and min in this order turn an answer of "nan" into a reward of 1.
    return 1 - min(1.0, max(0.0, error))


def _mean_relative_accuracy(answer: str, gold: str) -> float:
    """Compute VSI-Bench's MRA in float32 and with a strict ``<``, as eval_bench.py has it."""
    number, wanted = _float(answer), _float(gold)
    if number is None or wanted is None:
        return 0.0
    with np.errstate(all="ignore"):
        value, reference = np.float32(number), np.float32(wanted)
        error = np.abs(value - reference) / (np.abs(reference) + np.float32(1e-8))
        limits = np.float32(1) - np.arange(0.5, 0.975, 0.05).astype(np.float32)
        return float((error < limits).astype(np.float32).mean())


_EVALUATION = {
    Kind.MULTIPLE_CHOICE: _same_text,
    Kind.NUMERICAL: _numerical,
    Kind.REGRESSION: _mean_relative_accuracy,
}
_TRAINING = {
    Kind.MULTIPLE_CHOICE: _same_text,
    Kind.NUMERICAL: _numerical,
    Kind.OCR: text.published_ocr,
    Kind.FREE_FORM: text.published_free_form,
    Kind.REGRESSION: _regression,
}


def _has_mark(number: str) -> bool:
    return "." in number or "," in number


def _float(number: str) -> float | None:
    try:
        return float(number.replace(",", ""))
    except ValueError:
        return None
