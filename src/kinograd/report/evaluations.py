"""Evaluations side by side: figures with intervals, families, and paired differences.

Figures come from ``eval.metrics``, the one place that computes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
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
    """Comparable evaluations, of the same questions under the same sampling, in order.

    Attributes:
        title: sampling of the answers.
        families: (name, main-view cell or None per evaluation).
        pairs: (label a, label b, figures of b - a from ``compare_records``).
        refused: reasons why pairs could not be compared.
    """

    title: str
    evaluations: list[Evaluation]
    families: list[tuple[str, list[dict[str, Any] | None]]]
    pairs: list[tuple[str, str, dict[str, Any]]]
    refused: list[str]


def make_suites(runs: Sequence[Run]) -> list[Suite]:
    """Group all evaluations of ``runs`` by shared questions and by sampling."""
    groups: list[tuple[str, set[str], list[Evaluation]]] = []
    for run in runs:
        for name, rows in run.evaluations.items():
            evaluation = Evaluation(_label(run, name, runs), run.name, rows, summarise(rows))
            title, ids = _sampling(run), {r["id"] for r in rows}
            for known_title, known, members in groups:
                if known_title == title and known & ids:
                    known |= ids
                    members.append(evaluation)
                    break
            else:
                groups.append((title, ids, [evaluation]))
    return [_suite(title, members) for title, _, members in groups]


def _label(run: Run, name: str, runs: Sequence[Run]) -> str:
    """Name an evaluation by its own name, its run's, or both: the shortest that is unique."""
    if len(runs) == 1:
        return name
    return run.name if len(run.evaluations) == 1 else f"{run.name} · {name}"


def _sampling(run: Run) -> str:
    temperature = ((run.recipe.get("eval") or {}).get("sampling") or {}).get("temperature")
    if temperature is None:
        return "Answers"
    return "Greedy answers" if temperature == 0 else f"Answers sampled at temperature {temperature}"


def _suite(title: str, members: list[Evaluation]) -> Suite:
    names = {f for e in members for f in e.figures["by"]["family"]}
    families = [(n, [e.figures["by"]["family"].get(n) for e in members]) for n in sorted(names)]
    pairs: list[tuple[str, str, dict[str, Any]]] = []
    refused: list[str] = []
    for a, b in _pairs_to_compare(members):
        try:
            pairs.append((a.label, b.label, compare_records(a.records, b.records)))
        except DataError as error:
            refused.append(f"{a.label} and {b.label} are not compared: {error}")
    return Suite(title, members, families, pairs, refused)


def _pairs_to_compare(members: list[Evaluation]) -> list[tuple[Evaluation, Evaluation]]:
    """Pair neighbours, and first with last; of a long series only each run's first and last."""
    if len(members) > _ALL_PAIRS_UP_TO:
        by_run: dict[str, list[Evaluation]] = {}
        for e in members:
            by_run.setdefault(e.run, []).append(e)
        ends = [e for es in by_run.values() for e in (es if len(es) == 1 else (es[0], es[-1]))]
    else:
        ends = members
    pairs = list(pairwise(ends))
    return [*pairs, (ends[0], ends[-1])] if len(ends) > 2 else pairs
