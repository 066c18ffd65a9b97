"""Open-R1-Video, ``grpo.py``: of the released model and of the first commit.

Its data name no kinds and its rules know none: math-verify, then first letters (or whole
answers), whatever the answer is.
"""

from __future__ import annotations

from kinograd.config.rewards import RewardConfig
from kinograd.grading.extract import first_answer
from kinograd.rewards.modes.base import Mode, gold_of, verified
from kinograd.types import Kind


class OpenR1Video(Mode):
    """Grade as the released code does: equivalent, or the same first character."""

    name = "published:open_r1_video"
    kinds = frozenset({Kind.MULTIPLE_CHOICE, Kind.NUMERICAL, Kind.FREE_FORM})

    def accuracy(self, kind: Kind, completion: str, solution: str) -> float:
        answer = first_answer(completion) or ""
        same = answer[:1] == gold_of(solution)[:1] != ""
        return verified(completion, solution) or float(same)


class OpenR1VideoV1(OpenR1Video):
    """Grade as the first commit does: equivalent, or the same text."""

    name = "published:open_r1_video_v1"

    def read_answer(self, completion: str, reward: RewardConfig) -> str | None:
        answer = first_answer(completion)
        return completion.strip() if answer is None else answer

    def accuracy(self, kind: Kind, completion: str, solution: str) -> float:
        answer = first_answer(completion)
        answer = completion.strip() if answer is None else answer
        return verified(completion, solution) or float(answer == gold_of(solution))
