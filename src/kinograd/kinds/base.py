"""Interface of an answer kind, and the grade and judge question that it yields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

from kinograd.types import Kind, Score, Unscored, Verdict


class CaptionSettings(Protocol):
    """Reward settings that a caption's grade depends on; ``RewardConfig`` has them.

    Attributes:
        caption_precision: weight of event precision beside event recall.
        caption_keywords: add the reward for words of order and against words of doubt.
    """

    # A protocol, because kinds lie below the sections of a recipe.
    @property
    def caption_precision(self) -> float: ...
    @property
    def caption_keywords(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Grade:
    """Grade of an answer, without regard to the response's format.

    Attributes:
        accuracy: on the kind's own scale: 0 to 1, dark_event 0 to 2, caption recall + alpha x
            precision.
        extra: reward added to the accuracy (a caption's keywords).
        parts: further figures for the record.
        detail: answer and reference as they were read, for people.
    """

    accuracy: float
    extra: float = 0.0
    parts: Mapping[str, float] = field(default_factory=dict[str, float])
    detail: str = ""


@dataclass(frozen=True, slots=True)
class JudgeQuestion:
    """Question that a judge answers about a response.

    Attributes:
        prompt: name of the judge's prompt (a file of ``judge/prompts/<set>``).
        labels: labels that the judge may give, lowest first, with their values; empty if
            the judge compares lists of events (AutoDQ).
        parts: parts of the verdict that the reward reads, each from 0 to 1.
    """

    prompt: str
    labels: Mapping[str, float] = field(default_factory=dict[str, float])
    parts: tuple[str, ...] = ()

    @property
    def compares_events(self) -> bool:
        """Whether the judge compares event lists instead of giving a label."""
        return not self.labels

    @property
    def highest(self) -> float:
        """Highest value of a verdict."""
        return max(self.labels.values(), default=1.0)

    def empty_verdict(self) -> Verdict:
        """Return the verdict on an empty answer, which needs no judge to be wrong."""
        return Verdict(0.0, dict.fromkeys(self.parts, 0.0), detail="no answer")


class AnswerKind:
    """Everything that depends on the kind of an example's answer; one subclass per kind.

    Attributes:
        name: member of ``Kind``.
        answer_form: sentence of Video-R1's prompts about the form of the answer.
        aliases: names of the kind in published data.
        judge: question to a judge; None if the kind is never judged.
        always_judged: the kind has no rule beside its judge.
        graded: papers report its mean score, not the share of correct answers.
        filtered_by_spread: difficulty is judged by the spread of the scores, because no
            single answer is right or wrong.
    """

    name: ClassVar[Kind]
    answer_form: ClassVar[str] = (
        " Please provide your text answer within the <answer> </answer> tags."
    )
    aliases: ClassVar[tuple[str, ...]] = ()
    judge: ClassVar[JudgeQuestion | None] = None
    always_judged: ClassVar[bool] = False
    graded: ClassVar[bool] = False
    filtered_by_spread: ClassVar[bool] = False

    def grade(self, answer: str, gold: str, options: Sequence[str] = ()) -> Grade | Score:
        """Grade an answer by rule; return an unscored Score if ``gold`` cannot be read.

        Args:
            answer: text of the answer, "" if there is none.

        Raises:
            symbolic.SymbolicError: a formula could not be evaluated.
        """
        raise NotImplementedError(f"kind {self.name.value} has no rule; a judge grades it")

    def grade_verdict(
        self, answer: str, verdict: Verdict, reward: CaptionSettings
    ) -> Grade | Score:
        """Turn a judge's verdict into a grade; unscored if its value is out of range."""
        assert self.judge is not None
        value = verdict.value
        if value is None or not 0 <= value <= self.judge.highest:
            return Score.none(Unscored.JUDGE_UNPARSABLE, f"verdict {value} is out of range")
        return Grade(value, 0.0, dict(verdict.parts), verdict.label or verdict.detail)

    def check_gold(self, gold: str, options: Sequence[str] = ()) -> str | None:
        """Return why a gold answer fails its own grader, or None if it passes."""
        if self.always_judged:
            return None
        graded = self.grade(gold, gold, options)
        if isinstance(graded, Score):
            return graded.detail
        return None if graded.accuracy == 1.0 else f"graded {graded.accuracy:g}, not 1"

    def check_options(self, gold: str, options: Sequence[str]) -> str | None:
        """Return what is wrong with the options beside the gold answer, or None."""
        return None

    def shown_options(self, options: Sequence[str]) -> tuple[str, ...]:
        """Return the options as the prompt lists them."""
        return tuple(options)

    def canonical(self, answer: str, options: Sequence[str] = ()) -> str | None:
        """Return a form in which equal answers are equal strings; None if nothing is read."""
        return " ".join(answer.casefold().split()).rstrip(" .") or None

    def texts(self, gold: str, options: Sequence[str] = ()) -> tuple[str, tuple[str, ...]]:
        """Return the gold answer in words, and the wrong answers that the question offers."""
        return gold, ()

    def agree(self, stated: str, answer: str, options: Sequence[str] = ()) -> bool | None:
        """Compare a stated conclusion with an answer; None where either cannot be read.

        Only letters and numbers are compared: two free texts may say the same in other words.

        Raises:
            symbolic.SymbolicError: a formula could not be evaluated.
        """
        return None

    def sampled_value(self, score: Score) -> float:
        """Return the figure whose spread over samples says how hard the example is."""
        return score.parts["accuracy"]


def graded(accuracy: float, answered: bool, read: str | None, wanted: str) -> Grade:
    """Return a Grade with the part ``answered`` and a detail for people."""
    shown = shorten(read) if answered and read else "no answer"
    detail = f"{shown}, expected {shorten(wanted)}"
    return Grade(accuracy, 0.0, {"answered": float(answered)}, detail)


def unreadable(gold: str, why: str) -> Score:
    """Return the unscored Score for a reference that its own grader cannot read."""
    return Score.none(Unscored.PARSE, f"the reference answer {shorten(gold)} {why}")


def shorten(text: str) -> str:
    """Return ``text`` quoted, cut to 60 characters."""
    return repr(text if len(text) <= 60 else text[:57] + "...")
