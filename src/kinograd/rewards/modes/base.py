"""Interface of a reward mode: which rules read and grade a response.

The rules that call math-verify do what the installed version of it does. Two things of the
published code are not reproduced: a crash, and a hang (a formula that math-verify cannot finish
counts as "not equivalent", as its own time-out does).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from kinograd.config.rewards import RewardConfig
from kinograd.grading import symbolic
from kinograd.grading.extract import first_answer, published_format
from kinograd.kinds import KINDS, Grade
from kinograd.types import Kind, Score, Unscored, Verdict


class Mode:
    """Rules of one source for reading and grading responses; one subclass per mode.

    Format, combination and threshold of each mode are in ``config.rewards.MODE_DEFAULTS``.

    Attributes:
        name: value of ``reward.mode``.
        kinds: kinds that the source trained or tested on.
        sends_events: a caption's judge gets the reference's events where the data carry them.
        padding: white space inside the answer tags of the source's data.
    """

    name: ClassVar[str]
    kinds: ClassVar[frozenset[Kind]]
    sends_events: ClassVar[bool] = False
    padding: ClassVar[str] = ""

    def has_rule(self, kind: Kind) -> bool:
        """Return whether the source's code grades this kind."""
        return kind in self.kinds

    def is_judged(self, kind: Kind, reward: RewardConfig) -> bool:
        """Return whether a judge grades this kind."""
        return False

    def has_format(self, text: str, rule: str) -> bool:
        """Return whether a response has the demanded tags.

        Args:
            rule: ``fullmatch`` or ``prefix``.
        """
        return published_format(text, rule)

    def read_answer(self, completion: str, reward: RewardConfig) -> str | None:
        """Return the answer that is graded; None if there is none."""
        return first_answer(completion)

    def judged_texts(self, completion: str, solution: str, reward: RewardConfig) -> tuple[str, str]:
        """Return the (answer, reference) that a judge compares; an answer of "" scores 0."""
        raise NotImplementedError(f"mode {self.name} asks no judge")

    def accuracy(self, kind: Kind, completion: str, solution: str) -> float:
        """Compute the task reward of a kind that needs no judge.

        Args:
            solution: gold answer in answer tags, as in the source's data.
        """
        raise NotImplementedError(f"mode {self.name} has no rule")

    def grade(
        self,
        kind: Kind,
        completion: str,
        solution: str,
        options: Sequence[str],
        reward: RewardConfig,
        verdict: Verdict | None,
    ) -> Grade | Score:
        """Grade a response without regard to its format; a Score if it stays unscored."""
        if self.is_judged(kind, reward):
            answer, _ = self.judged_texts(completion, solution, reward)
            return self._judged(kind, answer, reward, verdict)
        return Grade(self.accuracy(kind, completion, self.tagged(solution)))

    def grade_verdict(
        self, kind: Kind, answer: str, verdict: Verdict, reward: RewardConfig
    ) -> Grade | Score:
        """Turn the verdict of a judge that answered into a grade."""
        return KINDS[kind].grade_verdict(answer, verdict, reward)

    def tagged(self, solution: str) -> str:
        """Return ``solution`` in the tags of the source's data; one with tags stays as it is."""
        if "<answer>" in solution:
            return solution
        return f"<answer>{self.padding}{solution}{self.padding}</answer>"

    def _judged(
        self, kind: Kind, answer: str, reward: RewardConfig, verdict: Verdict | None
    ) -> Grade | Score:
        judge = KINDS[kind].judge
        if not answer and judge is not None:
            verdict = judge.empty_verdict()
        if verdict is None:
            detail = f"no judge was asked about {kind.value}"
            return Score.none(Unscored.JUDGE_UNAVAILABLE, detail)
        if verdict.unscored is not None:
            return Score.none(verdict.unscored, verdict.detail)
        return self.grade_verdict(kind, answer, verdict, reward)


def gold_of(solution: str) -> str:
    """Return the inside of the first answer tags, else the whole text, stripped."""
    found = first_answer(solution)
    return solution.strip() if found is None else found


def verified(completion: str, solution: str) -> float:
    """Return 1.0 if math-verify finds the two texts equivalent, else 0.0."""
    return float(symbolic.equivalent(completion, solution))
