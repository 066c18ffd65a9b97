"""The demo from a world to a report: train a stage, evaluate it, go on.

Imports sibling commands.eval, to evaluate a stage as ``kinograd eval`` would.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from kinograd import files
from kinograd.config.load import merge, parse_recipe
from kinograd.config.schema import DemoRecipe, EvalRecipe, RlRecipe, SftRecipe
from kinograd.config.synthetic import RftControl
from kinograd.eval.recipe import evaluate_checkpoint
from kinograd.progress import progress
from kinograd.types import UsageError


def check_stages(recipe: DemoRecipe) -> None:
    """Read the recipe of every stage before the first one spends minutes.

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
    """Run or resume the demo; returns the report's path."""
    from kinograd.report import write_report
    from kinograd.runs.environment import describe_environment
    from kinograd.synthetic.build import build
    from kinograd.synthetic.demo.controls import run_control
    from kinograd.synthetic.demo.table import brief, paired, show
    from kinograd.synthetic.tiny_model import make_tiny

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


# ---------------------------------------------------------------------- training


def train(recipe: DemoRecipe, name: str, sections: dict[str, Any], model: Path) -> Path:
    """Run or resume one stage from ``model``; returns its last checkpoint's model."""
    from kinograd.train.rl import train_rl
    from kinograd.train.sft import train_sft

    stage = stage_recipe(recipe, name, sections, model)
    return train_sft(stage) if isinstance(stage, SftRecipe) else train_rl(stage)


def stage_recipe(
    recipe: DemoRecipe, name: str, sections: dict[str, Any], model: Path
) -> SftRecipe | RlRecipe:
    """A stage's full recipe; it trains in a folder of its name.

    Raises:
        UsageError: naming the stage and the key.
    """
    folder = str(Path(recipe.dir) / name)
    stage = _parse(recipe, name, sections, run={"dir": folder}, model={"path": str(model)})
    if isinstance(stage, SftRecipe | RlRecipe):
        return stage
    raise UsageError(f"stages.{name}: a stage's method is sft or rl")


def spent(folder: Path, names: Sequence[str]) -> dict[str, float]:
    """What training took, in seconds: on the clock, and of the training process's CPU."""
    rows = [row for name in names for row in finished_steps(folder / name)]
    return {
        "train_s": sum(row.get("time/step_s", 0.0) for row in rows),
        "train_cpu_s": sum(row["time/cpu_s"] for row in rows),
    }


def finished_steps(folder: Path) -> list[dict[str, Any]]:
    """The metrics of a stage's steps; evaluations have rows of their own, without seconds."""
    return [row for row in files.read_records(folder / "metrics.jsonl") if "time/cpu_s" in row]


def _parse(recipe: DemoRecipe, name: str, sections: dict[str, Any], **fixed: Any) -> Any:
    """Shared sections, a stage's own, and what the demo decides; files lie in the world."""
    world = Path(recipe.dir) / "world"
    tree = merge(merge(recipe.base, sections), fixed)
    tree = merge({"name": name, "data": {"media_root": str(world)}}, tree)
    for where in ("data", "eval"):
        for key in ("train", "data"):
            if key in tree.get(where, {}):
                paths = [str(world / f) for f in tree[where][key]]
                tree[where] = tree[where] | {key: paths}  # a table that the recipe may hold, too
    return parse_recipe(tree, [(f"stages.{name}", tree)])


# -------------------------------------------------------------------- evaluation


def held_out(recipe: DemoRecipe, name: str, sampled: bool) -> Path:
    """The file of a stage's answers on held-out questions."""
    (data,) = recipe.evaluate.data
    folder = Path(recipe.dir) / f"{name}-{'sampled' if sampled else 'held-out'}"
    return folder / "eval" / f"{Path(data).stem}.jsonl"


def evaluate(
    recipe: DemoRecipe, name: str, model: Path, bad_words: Sequence[str] = ()
) -> dict[str, Any]:
    """Greedy under every view, and one sample per question at temperature 1, ordered.

    Figures of ``eval.metrics.summarise`` under ``greedy`` and ``sampled``, each with
    ``terse``, the share of its ordered answers that work nothing out.
    """
    from kinograd.synthetic import TERSE

    out = {}
    keys = ("video", "prompt", "reward", "model")
    shared = {k: recipe.base[k] for k in keys if k in recipe.base}
    for label, sampled in (("greedy", False), ("sampled", True)):
        file = held_out(recipe, name, sampled)
        config = recipe.evaluate.model_dump(mode="json")
        config["sampling"]["bad_words"] = list(bad_words)
        if sampled:
            config["sampling"]["temperature"] = 1.0
            config["views"] = ["ordered"]
        fixed = {
            "method": "eval",
            "run": {"dir": str(file.parents[1])},
            "model": {"path": str(model)},
            "eval": config,
        }
        stage = _parse(recipe.model_copy(update={"base": shared}), name, {}, **fixed)
        assert isinstance(stage, EvalRecipe)
        (figures,) = evaluate_checkpoint(stage).values()
        answers = [row for row in files.read_records(file) if row["view"] == figures["view"]]
        terse = sum(f"<think>{TERSE}" in row["text"] for row in answers) / len(answers)
        out[label] = figures | {"terse": terse}
    return out
