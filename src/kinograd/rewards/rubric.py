"""One response graded: format, task reward and their combination, as pure functions.

A Score is unscored if anything it needs is: a judge that did not answer, a reference that
its grader cannot read, a formula that cannot be evaluated. An answer that cannot be read is
the model's own doing and scores 0; the part ``answered`` distinguishes it from a wrong answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

from kinograd.config.rewards import RewardConfig
from kinograd.kinds import Grade
from kinograd.rewards.modes import MODES
from kinograd.types import JudgeRequest, Kind, Score, Unscored, UsageError, Verdict


@cache
def config_for(mode: str) -> RewardConfig:
    """Return the reward section that a mode's source uses."""
    return RewardConfig(mode=mode)


def grade_text(
    kind: Kind,
    completion: str,
    solution: str,
    options: Sequence[str] = (),
    mode: str = "default",
    *,
    verdict: Verdict | None = None,
) -> Score:
    """Grade one response by the rules of ``mode`` with that mode's format and combination.

    Args:
        solution: gold answer; bare, or in ``<answer>`` tags.
        verdict: what a judge said; dark_event, mix_vid and caption are unscored without one.

    Raises:
        UsageError: the mode has no rule for this kind.
    """
    return grade(kind, completion, solution, options, config_for(mode), verdict=verdict)


def grade(
    kind: Kind,
    completion: str,
    solution: str,
    options: Sequence[str],
    config: RewardConfig,
    *,
    verdict: Verdict | None = None,
    accuracy: float | None = None,
) -> Score:
    """Grade one response by the rules of a recipe; ``grade_text`` is the short form.

    Args:
        accuracy: a custom reward that replaces the grader of the kind.
    """
    mode = MODES[config.mode]
    answer = mode.read_answer(completion, config)
    formatted = float(config.format == "off" or mode.has_format(completion, config.format))
    if accuracy is not None:
        graded = Grade(accuracy)
    elif mode.has_rule(kind):
        graded = mode.grade(kind, completion, solution, options, config, verdict)
    else:
        raise UsageError(f"mode {mode.name} has no rule for the kind {kind.value}")
    if isinstance(graded, Score):
        parts = dict(graded.parts) | ({} if config.format == "off" else {"format": formatted})
        reason = graded.unscored or Unscored.GRADER_ERROR
        return replace(Score.none(reason, graded.detail, **parts), answer=answer)
    parts = {"accuracy": graded.accuracy, **graded.parts}
    task, solved = graded.accuracy + graded.extra, graded.accuracy > config.correct_threshold
    if parts.get("consistency") == 0.0:
        task, solved = 0.0, False
    if config.format == "off":
        value = task
    else:
        parts["format"] = formatted
        value = formatted * task if config.combine == "product" else task + formatted
    return Score(value, parts, None, solved, graded.detail, answer)


def judge_request(
    kind: Kind,
    question: str,
    completion: str,
    solution: str,
    config: RewardConfig,
    events: tuple[str, ...] = (),
) -> JudgeRequest | None:
    """Build the request to a judge about a response; None if there is no answer to judge.

    Args:
        events: of a caption's reference, where the data carry them.
    """
    mode = MODES[config.mode]
    answer, reference = mode.judged_texts(completion, solution, config)
    if not answer:
        return None
    return JudgeRequest(kind, question, reference, answer, events if mode.sends_events else ())
