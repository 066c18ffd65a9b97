"""Kinograd's own rules: each kind's grader, without the faults of the published code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from kinograd.config.rewards import RewardConfig
from kinograd.grading.extract import (
    answer_span,
    has_format,
    strip_answer_tags,
    think_span,
    untagged,
)
from kinograd.grading.symbolic import SymbolicError
from kinograd.kinds import KINDS, Grade
from kinograd.rewards.consistency import is_consistent
from kinograd.rewards.modes.base import Mode
from kinograd.types import Kind, Score, Unscored, Verdict


class Default(Mode):
    """Grade by the rules of ``kinograd.kinds``; every kind has one."""

    name = "default"
    kinds = frozenset(KINDS)
    sends_events = True

    def is_judged(self, kind: Kind, reward: RewardConfig) -> bool:
        return KINDS[kind].always_judged or (
            KINDS[kind].judge is not None and kind in reward.judges
        )

    def has_format(self, text: str, rule: str) -> bool:
        return has_format(text, rule)

    def read_answer(self, completion: str, reward: RewardConfig) -> str | None:
        """Return the answer after the reasoning; without tags only under ``format: off``."""
        span = answer_span(completion)
        return untagged(completion) if span is None and reward.format == "off" else span

    def judged_texts(self, completion: str, solution: str, reward: RewardConfig) -> tuple[str, str]:
        return self.read_answer(completion, reward) or "", strip_answer_tags(solution)

    def grade(
        self,
        kind: Kind,
        completion: str,
        solution: str,
        options: Sequence[str],
        reward: RewardConfig,
        verdict: Verdict | None,
    ) -> Grade | Score:
        answer, gold = self.judged_texts(completion, solution, reward)
        if not gold:
            return Score.none(Unscored.EMPTY, "the reference answer is empty")
        if self.is_judged(kind, reward):
            return self._judged(kind, answer, reward, verdict)
        try:
            graded = KINDS[kind].grade(answer, gold, options)
            if reward.consistency and isinstance(graded, Grade) and answer:
                agrees = is_consistent(kind, think_span(completion), answer, options)
                if agrees is not None:
                    parts = {**graded.parts, "consistency": float(agrees)}
                    return replace(graded, parts=parts)
        except SymbolicError as error:
            return Score.none(Unscored.GRADER_ERROR, str(error))
        return graded

    def grade_verdict(
        self, kind: Kind, answer: str, verdict: Verdict, reward: RewardConfig
    ) -> Grade | Score:
        parts = {**verdict.parts, "answered": float(bool(answer))}
        return super().grade_verdict(kind, answer, replace(verdict, parts=parts), reward)
