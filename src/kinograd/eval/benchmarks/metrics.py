"""Metrics of benchmarks, by the name that a benchmark's file gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kinograd.eval.metrics import EvalRecord, summarise
from kinograd.kinds import KINDS
from kinograd.rewards.modes import MODES
from kinograd.types import Kind, ViewKind


@dataclass(frozen=True)
class Figure:
    """A figure in percent over ``n`` answers, with its 95 % interval if it has one."""

    percent: float
    n: int
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        interval = "" if self.low is None else f" [{self.low:.1f}, {self.high:.1f}]"
        return f"{self.percent:.1f}{interval}"


def accuracy(records: Sequence[EvalRecord]) -> Figure | None:
    """Share of right answers among scored answers of the kinds that are right or wrong."""
    rows = [r for r in _ordered(records) if not KINDS[Kind(r["kind"])].graded]
    if not rows:
        return None
    cell = summarise(rows)
    if cell["accuracy"] is None:
        return None
    percents = (100 * cell[name] for name in ("low", "high"))
    return Figure(100 * cell["accuracy"], cell["n"], *percents)


def mean_relative_accuracy(records: Sequence[EvalRecord]) -> Figure | None:
    """Mean relative accuracy of regression (VSI-Bench, arXiv 2412.14171).

    It is computed as Video-R1's evaluation does, whatever the recipe's ``reward.mode`` is.
    """
    kind, mode = Kind.REGRESSION, MODES["published:video_r1_eval"]
    rows = [r for r in _ordered(records) if r["kind"] == kind and r["error"] is None]
    scores = [mode.accuracy(kind, r["text"], mode.tagged(r["answer"])) for r in rows]
    return _mean([score for score in scores if score is not None])


def mean_score(records: Sequence[EvalRecord]) -> Figure | None:
    """Mean grade of answers that a judge grades, such as 0 to 2 of DarkEventInfer."""
    graded = {k for k, one in KINDS.items() if one.graded and one.judge is not None}
    rows = [r for r in _ordered(records) if r["kind"] in graded and r["error"] is None]
    return _mean([r["value"] for r in rows if r["value"] is not None])


METRICS: dict[str, Callable[[Sequence[EvalRecord]], Figure | None]] = {
    "accuracy": accuracy,
    "mean_relative_accuracy": mean_relative_accuracy,
    "mean_score": mean_score,
}
"""Metric by name; None where an evaluation holds nothing to measure."""


def _ordered(records: Sequence[EvalRecord]) -> list[EvalRecord]:
    return [r for r in records if r["view"] == ViewKind.ORDERED]


def _mean(scores: Sequence[float]) -> Figure | None:
    return Figure(100 * sum(scores) / len(scores), len(scores)) if scores else None
