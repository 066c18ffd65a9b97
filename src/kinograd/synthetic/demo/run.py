"""``kinograd demo`` from a world to a report: build, train and evaluate, compare, show."""

from __future__ import annotations

import json
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from kinograd import files
from kinograd.config.load import merge
from kinograd.config.schema import DemoRecipe
from kinograd.config.synthetic import RftControl
from kinograd.progress import progress
from kinograd.report import write_report
from kinograd.runs.environment import describe_environment
from kinograd.synthetic.build import build
from kinograd.synthetic.demo.controls import run_control
from kinograd.synthetic.demo.stage import evaluate, spent, stage_recipe, train
from kinograd.synthetic.demo.table import brief, paired, show
from kinograd.synthetic.tiny_model import make_tiny
from kinograd.types import UsageError


def check_stages(recipe: DemoRecipe) -> None:
    """Parse the recipe of every stage before the first one spends minutes.

    Raises:
        UsageError: naming the stage and the key.
    """
    if not recipe.stages:
        raise UsageError("stages: a demo needs at least one")
    if len(recipe.evaluate.data) != 1:
        raise UsageError("evaluate.data: a demo evaluates on one file, such as [held_out.jsonl]")
    for name, sections in recipe.stages.items():
        stage_recipe(recipe, name, sections, Path(recipe.dir) / "untrained")
    if not recipe.controls:
        return
    on_trial = list(recipe.stages)[-1]
    if len(recipe.stages) < 2 or recipe.stages[on_trial].get("method") != "rl":
        raise UsageError(
            "controls: the stage on trial, the last, must be rl and start from another"
        )
    if shared := recipe.controls.keys() & recipe.stages.keys():
        raise UsageError(f"controls: {min(shared)} is a stage already")
    for name, control in recipe.controls.items():
        if control.type == "decode":
            continue
        extra: dict[str, Any] = {"sft": {"steps": 1}}
        if isinstance(control, RftControl):
            extra["data"] = {"train": [control.questions]}
        stage_recipe(recipe, name, merge(control.sections, extra), Path(recipe.dir) / "untrained")


def run_demo(recipe: DemoRecipe) -> Path:
    """Run or resume the demo; return the path of its report."""
    began = time.perf_counter()
    folder = Path(recipe.dir)
    rows = sum(s if isinstance(s, int) else s.rows for s in recipe.synthetic.splits.values())
    with progress(rows, "world") as bar:
        build(recipe.synthetic, folder / "world", bar.advance)
    model = folder / "untrained"
    if not model.is_dir():
        partial = folder / "untrained.partial"
        make_tiny(partial, recipe.tiny.size, seed=recipe.tiny.seed)
        partial.rename(model)
    summary: dict[str, Any] = {"world_s": time.perf_counter() - began, "stages": {}}
    start = model
    for name, sections in recipe.stages.items():
        start, model = model, train(recipe, name, sections, model)
        summary["stages"][name] = evaluate(recipe, name, model) | spent(folder, [name])
    names = list(summary["stages"])
    summary["controls"] = {
        name: run_control(recipe, name, control, start) for name, control in recipe.controls.items()
    }
    summary["seconds"] = time.perf_counter() - began  # of this call: a resumed demo takes less
    pairs = [*pairwise(names)]
    pairs += [(names[-2], name) for name in recipe.controls]
    pairs += [(name, names[-1]) for name in recipe.controls]
    summary["paired"] = paired(recipe, pairs)
    show(summary)
    short = {
        "environment": describe_environment({}),
        **summary,
        "stages": {name: brief(one) for name, one in summary["stages"].items()},
        "controls": {name: brief(one) for name, one in summary["controls"].items()},
    }
    files.atomic_text(folder / "summary.json", json.dumps(short, indent=1))
    write_report([folder], folder / "report.html")
    return folder / "report.html"
