"""Evaluation: ask every question of a held-out set under every view, record each answer.

Same reader, same prompts and same graders as training. One bad clip harms only its own
row; an interrupted evaluation resumes where it stopped.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kinograd import files
from kinograd.budget import FailureBudget
from kinograd.config.schema import EvalConfig
from kinograd.eval.answers import Grade, graded_answers
from kinograd.eval.metrics import EvalRecord, read_records, summarise
from kinograd.models.reader import Unreadable
from kinograd.policy import Policy
from kinograd.progress import progress
from kinograd.types import Example, Group, View, ViewKind


def evaluate(
    policy: Policy,
    examples: Sequence[Example],
    config: EvalConfig,
    grade: Grade,
    out: Path,
    *,
    key: tuple[object, ...] = ("eval",),
) -> dict[str, Any]:
    """Answer, grade and record; returns the figures of ``eval.metrics.summarise``.

    Args:
        examples: their media lie under the policy's root of held-out media.
        out: JSONL file of ``EvalRecord``; answers already in it are not asked again, only
            what could not be read.
        key: addresses the sampling noise and the shuffles.

    Raises:
        TooManyFailures: after everything has been recorded.
    """
    files.filter_records(out, lambda row: row["error"] is None)
    done = {(r["id"], r["view"]) for r in files.read_records(out)}
    views = [View(ViewKind(name)) for name in config.views]
    file = files.RecordFile(out)
    try:
        with progress(len(examples) * len(views), out.stem, done=len(done)) as bar:
            for view in views:
                unanswered = [e for e in examples if (e.id, view.name) not in done]
                for found in graded_answers(
                    policy.engine,
                    policy.held_out_reader,
                    unanswered,
                    config,
                    grade,
                    n=1,
                    key=key,
                    view=view,
                ):
                    failed = isinstance(found, Unreadable)
                    file.append(_error(found, view) if failed else _record(found))
                    bar.advance()
    finally:
        file.close()
    rows = _in_order(out, examples, views)
    unread = [f"{r['id']}: {r['error']}" for r in rows if r["error"] is not None]
    if unread:
        budget = FailureBudget(config.max_error_fraction, "eval.max_error_fraction")
        budget.spend(len(unread), len(rows))
        budget.check("examples could not be read", unread[0], f"all answers are in {out}")
    return summarise(rows)


def _in_order(out: Path, examples: Sequence[Example], views: Sequence[View]) -> list[EvalRecord]:
    """Return the records in the order of views and data; rewrite the file where it differs.

    Answers that were asked again lie behind the others.
    """
    rows = read_records(out)
    places = {(e.id, v.name): (j, i) for j, v in enumerate(views) for i, e in enumerate(examples)}
    last = (len(views), 0)  # of an earlier, longer data file
    ordered = sorted(rows, key=lambda r: places.get((r["id"], r["view"]), last))
    if ordered != rows:
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in ordered)
        files.atomic_text(out, "".join(lines))
    return ordered


def _common(example: Example, view: View) -> dict[str, Any]:
    return {
        "id": example.id,
        "view": view.name,
        "kind": example.kind.value,
        "source": example.source,
        "family": str(example.extra.get("family", example.source)),
        "video": next((p for m in example.media for p in m.cut.paths), example.id),
        "answer": example.answer,
    }


def _record(group: Group) -> EvalRecord:
    rollout, score = group.rollouts[0], group.scores[0]
    return EvalRecord(
        **_common(group.example, group.view),
        prediction=score.answer,
        text=rollout.text,
        value=score.value,
        correct=score.correct,
        unscored=score.unscored and score.unscored.value,
        error=None,
        length=len(rollout.token_ids),
        stop=rollout.stop.value,
    )


def _error(failed: Unreadable, view: View) -> EvalRecord:
    return EvalRecord(
        **_common(failed.example, view),
        prediction=None,
        text="",
        value=None,
        correct=False,
        unscored=None,
        error=f"{failed.reason}: {failed.detail}",
        length=0,
        stop=None,
    )
