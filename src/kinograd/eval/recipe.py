"""Evaluation of a checkpoint on every data file of an eval recipe."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from kinograd.config.schema import EvalRecipe
from kinograd.datasets.load import load_examples
from kinograd.eval.benchmarks import find_source
from kinograd.eval.runner import evaluate
from kinograd.judge import build_judges
from kinograd.policy import open_policy
from kinograd.rewards.score import check_routing, score_groups
from kinograd.runs.digests import input_digests
from kinograd.runs.folder import RunFolder
from kinograd.types import UsageError


def evaluate_checkpoint(recipe: EvalRecipe) -> dict[str, dict[str, Any]]:
    """Evaluate ``recipe.model`` on every data file; figures by the file's stem.

    Answers go to ``run.dir/eval/<stem>.jsonl``; an interrupted evaluation resumes.
    """
    if not recipe.eval.data:
        raise UsageError("eval.data: no files to evaluate on")
    if recipe.eval.published:
        find_source(recipe.eval.published)
    stems = [Path(f).stem for f in recipe.eval.data]
    if twice := sorted({s for s in stems if stems.count(s) > 1}):
        raise UsageError(f"eval.data: two files are named {twice[0]}; answers go by that name")
    judges = build_judges(recipe.judges)
    form, limit = recipe.eval.format or recipe.data.format, recipe.eval.max_error_fraction
    read = {Path(f).stem: load_examples([f], form, limit) for f in recipe.eval.data}
    sets = {stem: rows[: recipe.eval.limit] for stem, (rows, _) in read.items()}
    check_routing({e.kind for rows in sets.values() for e in rows}, recipe.reward, judges)
    grade = partial(score_groups, config=recipe.reward, judges=judges)
    figures = {}
    with ExitStack() as opened:
        policy = opened.enter_context(open_policy(recipe))
        digests = input_digests(recipe.eval.data, policy.model.path)
        folder = opened.enter_context(
            RunFolder.open(recipe, Path(recipe.run.dir), data_hashes=digests)
        )
        for row in (row for _, rejected in read.values() for row in rejected):
            folder.quarantine(row.id or row.where, row.reason, f"{row.where}: {row.detail}")
        for stem, examples in sets.items():
            figures[stem] = evaluate(
                policy,
                examples,
                recipe.eval,
                grade,
                folder.files.evaluation(stem),
                key=(recipe.run.seed, "eval"),
            )
    return figures
