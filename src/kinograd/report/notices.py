"""Notices on top of a report: facts that qualify its figures, with counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from kinograd.report.evaluations import Suite
from kinograd.report.load import Run
from kinograd.report.rollouts import Embedded

_TRUNCATED = 0.05  # share of answers cut off that is worth a word


@dataclass(frozen=True)
class Notice:
    """``level`` is ``warning`` (figures mean less than they seem) or ``note``."""

    level: str
    where: str
    text: str


def make_notices(runs: Sequence[Run], suites: Sequence[Suite], rollouts: Embedded) -> list[Notice]:
    """Collect all notices, warnings first; one that holds for several runs appears once."""
    found: list[Notice] = []
    for run in runs:
        found += _of_run(run)
        found += _of_rollouts(run.name, rollouts)
    for suite in suites:
        found += _of_suite(suite)
    if rollouts.strips_left_out:
        text = f"{rollouts.strips_left_out} frame strips are left out to keep the file small"
        found.append(Notice("note", "report", text))
    places: dict[tuple[str, str], list[str]] = {}
    for notice in sorted(found, key=lambda n: n.level != "warning"):
        places.setdefault((notice.level, notice.text), []).append(notice.where)
    return [Notice(level, ", ".join(where), text) for (level, text), where in places.items()]


def _of_run(run: Run) -> Iterator[Notice]:
    def warning(text: str) -> Notice:
        return Notice("warning", run.name, text)

    judges: Mapping[str, Any] = run.recipe.get("judges") or {}
    if lexical := [name for name, judge in judges.items() if judge.get("type") == "lexical"]:
        yield warning(
            f"judge {', '.join(map(str, lexical))} is lexical: free answers are scored by word "
            "overlap, not by a model. Good for demonstrations, not for claims"
        )
    for name, steps in _broken(run).items():
        yield warning(f"{name} was not finite at {_steps(steps)}")
    reasons = Counter(str(row["reason"]) for row in run.quarantine)
    if reasons:
        yield warning(f"{_times(len(run.quarantine), 'example')} left out: {_listed(reasons)}")
    wanted = (run.recipe.get(run.method) or {}).get("steps")
    reached = max((record["step"] for record in run.metrics), default=0)
    if isinstance(wanted, int) and reached < wanted:
        yield warning(f"unfinished: {reached} of {wanted} steps")
    if changed := _changed_packages(run.starts):
        yield warning(f"resumed under other versions: {changed}")
    elif len(run.starts) > 1:
        yield Notice("note", run.name, f"resumed {_times(len(run.starts) - 1, 'time')}")
    if any((start.get("git") or {}).get("dirty") for start in run.starts):
        yield Notice("note", run.name, "the code had changes that were not committed")


def _of_rollouts(name: str, rollouts: Embedded) -> Iterator[Notice]:
    reasons = dict(rollouts.counts.get(name, {}))
    total = reasons.pop("rollouts", 0)
    if reasons:
        unscored = sum(reasons.values())
        text = f"{unscored} of {total} logged rollouts are unscored: {_listed(reasons)}"
        yield Notice("warning", name, text)
    if left_out := rollouts.left_out.get(name):
        yield Notice(
            "note", name, f"rollouts of {_times(left_out, 'logged step')} are not embedded"
        )


def _of_suite(suite: Suite) -> Iterator[Notice]:
    for e in suite.evaluations:
        views: Mapping[str, dict[str, Any]] = e.figures["views"]
        asked = sum(cell["n"] for cell in views.values())
        unscored = sum((Counter(cell["unscored"]) for cell in views.values()), Counter[str]())
        errors = sum(cell["errors"] for cell in views.values())
        cut = {v: c["truncated"] for v, c in views.items() if (c["truncated"] or 0) > _TRUNCATED}
        if unscored:
            text = f"{unscored.total()} of {asked} answers are unscored: {_listed(unscored)}"
            yield Notice("warning", e.label, text)
        if errors:
            yield Notice("warning", e.label, f"{errors} of {asked} examples could not be asked")
        if cut:
            shares = ", ".join(f"{view} {100 * share:.0f} %" for view, share in cut.items())
            yield Notice("warning", e.label, f"answers are cut off by the token limit: {shares}")
        if e.figures["low"] is not None and e.figures["low"] <= e.figures["majority"]:
            text = "not shown to beat the majority baseline: the interval is not above it"
            yield Notice("note", e.label, text)
    for text in suite.refused:
        yield Notice("warning", "evaluation", text)


def _broken(run: Run) -> dict[str, list[int]]:
    steps: dict[str, list[int]] = {}
    for record in run.metrics:
        for name in record.get("nonfinite", {}):
            steps.setdefault(name, []).append(record["step"])
    return steps


def _changed_packages(starts: Sequence[dict[str, Any]]) -> str:
    changes = []
    for before, after in pairwise(starts):
        old, new = before.get("packages", {}), after.get("packages", {})
        names = [n for n in sorted(old.keys() | new.keys()) if old.get(n) != new.get(n)]
        changes += [f"{n} {old.get(n, 'absent')} → {new.get(n, 'absent')}" for n in names]
    return ", ".join(dict.fromkeys(changes))


def _steps(steps: list[int]) -> str:
    shown = ", ".join(map(str, steps[:5]))
    more = f" and {len(steps) - 5} more" if len(steps) > 5 else ""
    return f"step {shown}{more}" if len(steps) == 1 else f"steps {shown}{more}"


def _listed(counts: Mapping[str, int]) -> str:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{name.replace('_', ' ')} {n}" for name, n in ordered)


def _times(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
