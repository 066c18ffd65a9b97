"""VidBridge-R1 = VersaVid-R1 (arXiv 2506.09079), ``grpo.py``."""

from __future__ import annotations

from kinograd.config.rewards import RewardConfig
from kinograd.grading.extract import first_answer
from kinograd.grading.keywords import published_keyword_reward
from kinograd.kinds import KINDS, Grade
from kinograd.kinds.caption import caption_grade, recall_precision
from kinograd.rewards.modes.base import Mode, gold_of, verified
from kinograd.types import Kind, Score, Verdict

_LETTERS = "ABCDEFG"


class VidBridge(Mode):
    """Options by rule, DarkEventInfer, MixVidQA and captions by a judge."""

    name = "published:vidbridge"
    kinds = frozenset({Kind.MULTIPLE_CHOICE, Kind.DARK_EVENT, Kind.MIX_VID, Kind.CAPTION})

    def is_judged(self, kind: Kind, reward: RewardConfig) -> bool:
        return kind in self.kinds and KINDS[kind].always_judged

    def read_answer(self, completion: str, reward: RewardConfig) -> str | None:
        return first_answer(completion, unclosed=True)

    def judged_texts(self, completion: str, solution: str, reward: RewardConfig) -> tuple[str, str]:
        answer = self.read_answer(completion, reward) or ""
        reference = first_answer(self.tagged(solution))
        return answer, "None" if reference is None else reference

    def accuracy(self, kind: Kind, completion: str, solution: str) -> float:
        answer = first_answer(completion, unclosed=True)
        letter = None if answer is None else _letter(answer)
        return verified(completion, solution) or float(letter == gold_of(solution)[:1] != "")

    def grade_verdict(
        self, kind: Kind, answer: str, verdict: Verdict, reward: RewardConfig
    ) -> Grade | Score:
        if kind is not Kind.CAPTION:
            return super().grade_verdict(kind, answer, verdict, reward)
        found = recall_precision(verdict)
        if isinstance(found, Score):
            return found
        return caption_grade(verdict, *found, published_keyword_reward(answer), reward)


def _letter(answer: str) -> str:
    """Return the letter that the released chain of substring tests finds first, else the answer."""
    for letter in _LETTERS:
        if f"{letter}." in answer or f"{{{letter}}}" in answer:
            return letter
    for letter in _LETTERS:
        if f"{letter.lower()}. " in answer:
            return letter
    return answer
