"""Caption: the answer describes the clip; a judge compares events (AutoDQ).

The reward is VidBridge-R1's (arXiv 2506.09079): event recall + alpha x event precision, and a
reward for words of order. Two things differ, because reinforcement finds them. AutoDQ gives an
answer without events ("Nice colours.") a precision of 1, which would pay more for saying
nothing than for most honest captions. And words of order are no merit of a caption that met no
event of the reference.
"""

from __future__ import annotations

import math

from kinograd.grading.keywords import keyword_reward
from kinograd.kinds.base import AnswerKind, CaptionSettings, Grade, JudgeQuestion
from kinograd.types import Kind, Score, Unscored, Verdict


class Caption(AnswerKind):
    """A description; accuracy is recall + alpha x precision of events, keywords are added."""

    name = Kind.CAPTION
    judge = JudgeQuestion("events", parts=("recall", "precision"))
    always_judged = True
    filtered_by_spread = True

    def grade_verdict(
        self, answer: str, verdict: Verdict, reward: CaptionSettings
    ) -> Grade | Score:
        found = recall_precision(verdict)
        if isinstance(found, Score):
            return found
        recall, precision = found
        keywords = min(keyword_reward(answer), 0.4 if recall > 0 else 0.0)
        return caption_grade(verdict, recall, precision if recall > 0 else 0.0, keywords, reward)

    def sampled_value(self, score: Score) -> float:
        """Return AutoDQ's F1 where a judge gave recall and precision, else the accuracy."""
        recall, precision = score.parts.get("recall"), score.parts.get("precision")
        if recall is None or precision is None:
            return score.parts["accuracy"]
        return 2 * recall * precision / (recall + precision) if recall + precision else 0.0


def recall_precision(verdict: Verdict) -> tuple[float, float] | Score:
    """Return event recall and precision of a verdict; unscored if one is out of range."""
    recall, precision = (verdict.parts.get(k, math.nan) for k in ("recall", "precision"))
    if not (0 <= recall <= 1 and 0 <= precision <= 1):
        detail = f"recall {recall}, precision {precision}"
        return Score.none(Unscored.JUDGE_UNPARSABLE, detail)
    return recall, precision


def caption_grade(
    verdict: Verdict, recall: float, precision: float, keywords: float, reward: CaptionSettings
) -> Grade:
    """Combine recall, precision and keywords as ``reward`` demands."""
    parts = dict(verdict.parts)
    if not reward.caption_keywords:
        keywords = 0.0
    else:
        parts["keywords"] = keywords
    accuracy = recall + reward.caption_precision * precision
    return Grade(accuracy, keywords, parts, verdict.detail)


KIND = Caption()
