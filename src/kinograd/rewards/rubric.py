"""One response graded: format, task reward and their combination, as pure functions.

A Score is unscored if anything it needs is: a judge that did not answer, a reference that
its grader cannot read, a formula that cannot be evaluated. An answer that cannot be read is
the model's own doing and scores 0; the part ``answered`` tells it from a wrong answer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

from kinograd.config.rewards import RewardConfig, RewardMode
from kinograd.grading import text
from kinograd.grading.choice import read_choice
from kinograd.grading.extract import answer_span, has_format, published_format, think_span, untagged
from kinograd.grading.keywords import keyword_reward, published_keyword_reward
from kinograd.grading.numeric import read_quantity, relative_error, same_number
from kinograd.grading.symbolic import SymbolicError
from kinograd.rewards import published
from kinograd.rewards.consistency import is_consistent
from kinograd.types import JudgeRequest, Kind, Score, Unscored, UsageError, Verdict

ROUTABLE = published.JUDGED | {Kind.FREE_FORM}
_HIGHEST = {Kind.DARK_EVENT: 2.0, Kind.MIX_VID: 1.0, Kind.FREE_FORM: 1.0}


@dataclass(frozen=True, slots=True)
class Task:
    """How well the question was answered, without regard to format.

    Attributes:
        accuracy: the grader's own scale: 0-1, dark_event 0-2, caption recall + alpha x precision.
        extra: what is added to the accuracy (a caption's keywords).
        parts: further figures for the record.
        detail: what was read, for people.
    """

    accuracy: float
    extra: float = 0.0
    parts: Mapping[str, float] = field(default_factory=dict[str, float])
    detail: str = ""


@cache
def config_for(mode: RewardMode) -> RewardConfig:
    """The reward section that a mode's source uses."""
    return RewardConfig(mode=mode)


def grade_text(
    kind: Kind,
    completion: str,
    solution: str,
    options: Sequence[str] = (),
    mode: RewardMode = "default",
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
        accuracy: a custom reward that stands in for the grader of the kind.
    """
    formatted = float(matches_format(completion, config))
    if accuracy is None:
        graded = _task(kind, completion, solution, options, config, verdict)
    else:
        graded = Task(accuracy)
    if isinstance(graded, Score):
        parts = dict(graded.parts) | ({} if config.format == "off" else {"format": formatted})
        return Score.none(graded.unscored or Unscored.GRADER_ERROR, graded.detail, **parts)
    parts = {"accuracy": graded.accuracy, **graded.parts}
    task, solved = graded.accuracy + graded.extra, graded.accuracy > config.correct_threshold
    if parts.get("consistency") == 0.0:
        task, solved = 0.0, False
    if config.format == "off":
        value = task
    else:
        parts["format"] = formatted
        value = formatted * task if config.combine == "product" else task + formatted
    return Score(value, parts, None, solved, graded.detail)


def is_judged(kind: Kind, config: RewardConfig) -> bool:
    """Whether a judge grades this kind: always, or for free_form where a recipe routes it."""
    if config.mode == "default":
        return kind in published.JUDGED or (kind in ROUTABLE and kind in config.judges)
    return kind in published.JUDGED and config.mode == "published:vidbridge"


def matches_format(completion: str, config: RewardConfig) -> bool:
    """Whether the response has the demanded tags; always true with ``format: off``."""
    if config.format == "off":
        return True
    check = has_format if config.mode == "default" else published_format
    return check(completion, config.format)


def judge_request(
    kind: Kind,
    question: str,
    completion: str,
    solution: str,
    config: RewardConfig,
    events: tuple[str, ...] = (),
) -> JudgeRequest | None:
    """What a judge is asked about a response; None if there is no answer to judge.

    Args:
        events: of a caption's reference, where the data carry them.
    """
    if config.mode == "default":
        answer = _given(completion, config) or ""
        reference = bare(solution)
    else:
        answer, reference = published.judged_texts(completion, solution)
        events = ()  # the released judge extracts them anew
    return JudgeRequest(kind, question, reference, answer, events) if answer else None


def check_answer(kind: Kind, answer: str, options: Sequence[str] = ()) -> str | None:
    """Why a gold answer fails its own grader; None if it passes.

    Kinds that need a judge pass with any answer.
    """
    response = f"<think></think><answer>{answer}</answer>"
    if not has_format(response, "fullmatch"):
        return "the answer is empty or holds tags"
    if kind in published.JUDGED:
        return None
    score = grade_text(kind, response, answer, options)
    if score.unscored:
        return score.detail
    return None if score.parts["accuracy"] == 1.0 else f"graded {score.parts['accuracy']:g}, not 1"


def bare(solution: str) -> str:
    """A gold answer without ``<answer>`` tags."""
    found = answer_span(solution)
    return solution.strip() if found is None else found


# ---------------------------------------------------------------- task rewards


def _task(
    kind: Kind,
    completion: str,
    solution: str,
    options: Sequence[str],
    config: RewardConfig,
    verdict: Verdict | None,
) -> Task | Score:
    if config.mode != "default":
        if not published.has_rule(config.mode, kind):
            raise UsageError(f"mode {config.mode} has no rule for the kind {kind.value}")
        if is_judged(kind, config):
            answer = published.judged_texts(completion, solution)[0]
            return _judged(kind, answer, config, verdict)
        return Task(published.accuracy(config.mode, kind, completion, solution))
    gold, answer = bare(solution), _given(completion, config)
    if not gold:
        return Score.none(Unscored.EMPTY, "the reference answer is empty")
    if is_judged(kind, config):
        return _judged(kind, answer or "", config, verdict)
    try:
        graded = _ruled(kind, answer or "", gold, options)
        if config.consistency and isinstance(graded, Task) and answer:
            agrees = is_consistent(kind, think_span(completion), answer, options)
            if agrees is not None:
                parts = {**graded.parts, "consistency": float(agrees)}
                return Task(graded.accuracy, graded.extra, parts, graded.detail)
    except SymbolicError as error:
        return Score.none(Unscored.GRADER_ERROR, str(error))
    return graded


def _given(completion: str, config: RewardConfig) -> str | None:
    span = answer_span(completion)
    return untagged(completion) if span is None and config.format == "off" else span


def _ruled(kind: Kind, answer: str, gold: str, options: Sequence[str]) -> Task | Score:
    match kind:
        case Kind.MULTIPLE_CHOICE:
            wanted, given = read_choice(gold, options), read_choice(answer, options)
            if wanted is None:
                return _unreadable(gold, "names no option")
            return _task_of(float(given == wanted), given is not None, given, wanted)
        case Kind.NUMERICAL | Kind.REGRESSION:
            number, wanted_number = read_quantity(answer), read_quantity(gold)
            if wanted_number is None:
                return _unreadable(gold, "is not one number")
            if number is None:
                return _task_of(0.0, False, None, gold)
            if kind is Kind.NUMERICAL:
                accuracy = float(same_number(number, wanted_number))
            else:
                accuracy = 1 - relative_error(number, wanted_number)
            return _task_of(accuracy, True, answer, gold)
        case Kind.OCR:
            return _task_of(text.transcription_accuracy(answer, gold), bool(answer), answer, gold)
        case _:
            if not text.has_words(gold):
                return _unreadable(gold, "has no words")
            return _task_of(text.text_overlap(answer, gold), bool(answer), answer, gold)


def _unreadable(gold: str, why: str) -> Score:
    return Score.none(Unscored.PARSE, f"the reference answer {_short(gold)} {why}")


def _task_of(accuracy: float, answered: bool, read: str | None, wanted: str) -> Task:
    seen = _short(read) if answered and read else "no answer"
    return Task(accuracy, 0.0, {"answered": float(answered)}, f"{seen}, expected {_short(wanted)}")


def _short(words: str) -> str:
    return repr(words if len(words) <= 60 else words[:57] + "...")


def _judged(kind: Kind, answer: str, config: RewardConfig, verdict: Verdict | None) -> Task | Score:
    """A judge's verdict as a task reward; an empty answer needs no judge to be wrong."""
    if not answer:
        parts = {"recall": 0.0, "precision": 0.0} if kind is Kind.CAPTION else {}
        verdict = Verdict(0.0, parts, detail="no answer")
    if verdict is None:
        return Score.none(Unscored.JUDGE_UNAVAILABLE, f"no judge was asked about {kind.value}")
    if verdict.unscored is not None:
        return Score.none(verdict.unscored, verdict.detail)
    parts = dict(verdict.parts)
    if config.mode == "default":
        parts["answered"] = float(bool(answer))
    if kind is not Kind.CAPTION:
        value = verdict.value
        if value is None or not 0 <= value <= _HIGHEST[kind]:
            return Score.none(Unscored.JUDGE_UNPARSABLE, f"verdict {value} is out of range")
        return Task(value, 0.0, parts, verdict.label or verdict.detail)
    recall, precision = (parts.get(k, math.nan) for k in ("recall", "precision"))
    if not (0 <= recall <= 1 and 0 <= precision <= 1):
        return Score.none(Unscored.JUDGE_UNPARSABLE, f"recall {recall}, precision {precision}")
    keywords = 0.0
    if config.caption_keywords:
        if config.mode == "default":
            # Words of order about nothing that happened are no merit.
            keywords = min(keyword_reward(answer), 0.4 if recall > 0 else 0.0)
        else:
            keywords = published_keyword_reward(answer)
        parts["keywords"] = keywords
    # AutoDQ gives an answer without events ("Nice colours.") a precision of 1. As a reward
    # that would pay more for saying nothing than for most honest captions.
    counted = precision if recall > 0 or config.mode != "default" else 0.0
    return Task(recall + config.caption_precision * counted, keywords, parts, verdict.detail)
