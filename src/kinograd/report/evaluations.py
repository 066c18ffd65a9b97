"""Evaluations side by side: figures with intervals, families, and paired differences.

Figures come from ``eval.metrics``, the one place that computes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kinograd.eval.metrics import EvalRecord, compare_records, summarise
from kinograd.report.load import Run
from kinograd.types import DataError

_ALL_PAIRS_UP_TO = 4


@dataclass(frozen=True)
class Evaluation:
    """One evaluation and its figures (``eval.metrics.summarise``)."""

    label: str
    run: str
    records: list[EvalRecord]
    figures: dict[str, Any]


@dataclass(frozen=True)
class Suite:
    """Evaluations of the same questions, in order, hence comparable.

    Attributes:
        families: (name, main-view cell or None per evaluation).
        pairs: (label a, label b, figures of b - a from ``compare_records``).
        refused: why a pair could not be compared.
    """

    evaluations: list[Evaluation]
    families: list[tuple[str, list[dict[str, Any] | None]]]
    pairs: list[tuple[str, str, dict[str, Any]]]
    refused: list[str]


def make_suites(runs: Sequence[Run]) -> list[Suite]:
    """Group all evaluations of ``runs`` by the questions they share."""
    groups: list[tuple[set[str], list[Evaluation]]] = []
    for run in runs:
        for name, rows in run.evaluations.items():
            label = f"{run.name} · {name}" if len(runs) > 1 else name
            evaluation = Evaluation(label, run.name, rows, summarise(rows))
            ids = {r["id"] for r in rows}
            for known, members in groups:
                if known & ids:
                    known |= ids
                    members.append(evaluation)
                    break
            else:
                groups.append((ids, [evaluation]))
    return [_suite(members) for _, members in groups]


def _suite(members: list[Evaluation]) -> Suite:
    names = {f for e in members for f in e.figures["by"]["family"]}
    families = [(n, [e.figures["by"]["family"].get(n) for e in members]) for n in sorted(names)]
    pairs: list[tuple[str, str, dict[str, Any]]] = []
    refused: list[str] = []
    for a, b in _telling_pairs(members):
        try:
            pairs.append((a.label, b.label, compare_records(a.records, b.records)))
        except DataError as error:
            refused.append(f"{a.label} and {b.label} are not compared: {error}")
    return Suite(members, families, pairs, refused)


def _telling_pairs(members: list[Evaluation]) -> list[tuple[Evaluation, Evaluation]]:
    """Neighbours and first with last; of a long series only each run's first and last."""
    if len(members) > _ALL_PAIRS_UP_TO:
        by_run: dict[str, list[Evaluation]] = {}
        for e in members:
            by_run.setdefault(e.run, []).append(e)
        ends = [e for es in by_run.values() for e in (es if len(es) == 1 else (es[0], es[-1]))]
    else:
        ends = members
    pairs = list(zip(ends, ends[1:], strict=False))
    return [*pairs, (ends[0], ends[-1])] if len(ends) > 2 else pairs
