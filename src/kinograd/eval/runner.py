"""Ask a model every question of a held-out set, under every view, and keep each answer.

Same reader, same prompts and same graders as training. One bad clip harms only its own
row; an interrupted evaluation goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kinograd import files
from kinograd.config.schema import EvalConfig, RewardConfig
from kinograd.eval.metrics import EvalRecord, read_records, summarise
from kinograd.eval.sampling import sample_groups
from kinograd.grading.extract import answer_span
from kinograd.models.reader import Reader, Unreadable
from kinograd.progress import progress
from kinograd.rollout.engine import Engine
from kinograd.types import Example, Group, Judge, KinogradError, View, ViewKind


class TooManyErrors(KinogradError):
    """More examples could not be read than ``eval.max_error_fraction`` allows."""


def evaluate(
    engine: Engine,
    reader: Reader,
    examples: Sequence[Example],
    config: EvalConfig,
    reward: RewardConfig,
    out: Path,
    *,
    judges: Mapping[str, Judge] | None = None,
    key: tuple[object, ...] = ("eval",),
) -> dict[str, Any]:
    """Answer, grade and record; returns the figures of ``eval.metrics.summarise``.

    Args:
        out: JSONL file of ``EvalRecord``; answers already in it are not asked again, only
            what could not be read.
        key: addresses the sampling noise and the shuffles.

    Raises:
        TooManyErrors: after everything has been recorded.
    """
    files.filter_records(out, lambda row: row["error"] is None)
    done = {(r["id"], r["view"]) for r in files.read_records(out)}
    views = [View(ViewKind(name)) for name in config.views]
    file = files.RecordFile(out)
    try:
        with progress(len(examples) * len(views), out.stem, done=len(done)) as bar:
            for view in views:
                answers = sample_groups(
                    engine,
                    reader,
                    [e for e in examples if (e.id, view.name) not in done],
                    1,
                    config.sampling,
                    reward,
                    judges or {},
                    key,
                    config.batch_size,
                    view,
                )
                for found in answers:
                    unread = isinstance(found, Unreadable)
                    file.append(_error(found, view) if unread else _record(found))
                    bar.advance()
    finally:
        file.close()
    rows = read_records(out)
    errors = sum(r["error"] is not None for r in rows)
    if errors > config.max_error_fraction * len(rows):
        first = next(r for r in rows if r["error"] is not None)
        raise TooManyErrors(
            f"{errors} of {len(rows)} examples could not be read (first: {first['id']}: "
            f"{first['error']}); all answers are in {out}. Mend the data, or raise "
            "eval.max_error_fraction"
        )
    return summarise(rows)


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
        prediction=answer_span(rollout.text),
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
