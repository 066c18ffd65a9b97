"""Video-R1's preliminary version on DVD-counting: its training and its test script."""

from __future__ import annotations

import re

from kinograd.config.rewards import RewardConfig
from kinograd.rewards.modes.base import Mode, verified
from kinograd.types import Kind

_LINE_ANSWER = re.compile(r"<answer>(.*?)</answer>")  # no DOTALL: within one line
_INTEGER_ANSWER = re.compile(r"<answer>\s*(\d+)\s*</answer>")


class DvdCounting(Mode):
    """Training (``grpo.py``): equivalent, or the same text in answer tags."""

    name = "published:dvd_counting"
    kinds = frozenset({Kind.NUMERICAL})
    # math-verify finds no number in "<answer>1</answer>".
    padding = " "

    def read_answer(self, completion: str, reward: RewardConfig) -> str | None:
        answer = _LINE_ANSWER.search(completion)
        return (answer[1] if answer else completion).strip()

    def accuracy(self, kind: Kind, completion: str, solution: str) -> float:
        answer, gold = _LINE_ANSWER.search(completion), _LINE_ANSWER.search(solution)
        given = answer[1] if answer else completion
        same = given.strip() == (gold[1] if gold else solution).strip()
        return verified(completion, solution) or float(same)


class DvdCountingEval(DvdCounting):
    """Test (``test_qwen2vl_video_counting.py``): the same integer, written in digits."""

    name = "published:dvd_counting_eval"

    def read_answer(self, completion: str, reward: RewardConfig) -> str | None:
        answer = _INTEGER_ANSWER.search(completion)
        return answer[1] if answer else None

    def accuracy(self, kind: Kind, completion: str, solution: str) -> float:
        answer, gold = _INTEGER_ANSWER.search(completion), _INTEGER_ANSWER.search(solution)
        if answer is None or gold is None:
            return 0.0
        # Compared as text: int() of thousands of digits raises. \d takes digits of any script.
        return float(_digits(answer[1]) == _digits(gold[1]))


def _digits(number: str) -> str:
    return "".join(str(int(d)) for d in number).lstrip("0")
