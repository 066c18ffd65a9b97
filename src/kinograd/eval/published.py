"""Published figures beside ours, computed by the protocol they were published under.

``published.json`` holds them with their sources. A data file stands for the benchmark of its
name, with or without Video-R1's ``eval_`` before it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from kinograd.eval.metrics import EvalRecord, summarise
from kinograd.kinds import KINDS
from kinograd.rewards.modes import MODES
from kinograd.types import Kind, UsageError, ViewKind


@cache
def tables() -> dict[str, dict[str, Any]]:
    """By name: ``source``, ``note``, ``benchmarks``, ``systems`` (figures in their order)."""
    return json.loads(files("kinograd.eval").joinpath("published.json").read_text("utf-8"))


def table(name: str) -> dict[str, Any]:
    """One of ``tables``.

    Raises:
        UsageError: there is none of this name.
    """
    if name not in tables():
        raise UsageError(f"eval.published: no table {name!r}; one of {', '.join(tables())}")
    return tables()[name]


def figures_of(name: str, stem: str) -> dict[str, float]:
    """System to its published figure on the benchmark that a data file is named after."""
    known, benchmark = table(name), stem.removeprefix("eval_")
    if benchmark not in known["benchmarks"]:
        return {}
    column = known["benchmarks"].index(benchmark)
    return {s: row[column] for s, row in known["systems"].items() if row[column] is not None}


def own_figures(records: Sequence[EvalRecord]) -> tuple[dict[str, Any] | None, float | None]:
    """Accuracy and mean score of one evaluation's ordered clips, as papers report them.

    Returns:
        ``summarise``'s figures of what is right or wrong, and in percent the mean over what
        is graded: mean relative accuracy of regression as Video-R1's evaluation computes it,
        whatever ``reward.mode`` is, and the 0 to 2 of dark_event. None where there are none.
    """
    rows = [r for r in records if r["view"] == ViewKind.ORDERED]
    ruled = [r for r in rows if not KINDS[Kind(r["kind"])].graded]
    scores = [
        score
        for r in rows
        if KINDS[Kind(r["kind"])].graded and r["error"] is None and (score := _score(r)) is not None
    ]
    mean = 100 * sum(scores) / len(scores) if scores else None
    return summarise(ruled) if ruled else None, mean


def _score(record: EvalRecord) -> float | None:
    kind = Kind(record["kind"])
    if KINDS[kind].judge is not None:
        return record["value"]
    mode = MODES["published:video_r1_eval"]
    return mode.accuracy(kind, record["text"], mode.tagged(record["answer"]))
