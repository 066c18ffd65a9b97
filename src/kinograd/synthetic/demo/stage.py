"""One stage of the demo: its recipe, its training, its evaluation on held-out clips."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kinograd import files
from kinograd.config.load import merge, parse_recipe
from kinograd.config.schema import DemoRecipe, EvalRecipe, RlRecipe, SftRecipe
from kinograd.eval.recipe import evaluate_checkpoint
from kinograd.runs.layout import Layout
from kinograd.synthetic.build import TERSE
from kinograd.train.rl import train_rl
from kinograd.train.sft import train_sft
from kinograd.types import UsageError


def train(recipe: DemoRecipe, name: str, sections: dict[str, Any], model: Path) -> Path:
    """Run or resume one stage from ``model``; return the path of the trained model."""
    stage = stage_recipe(recipe, name, sections, model)
    return train_sft(stage) if isinstance(stage, SftRecipe) else train_rl(stage)


def stage_recipe(
    recipe: DemoRecipe, name: str, sections: dict[str, Any], model: Path
) -> SftRecipe | RlRecipe:
    """Build the full recipe of a stage, which trains in the folder of its name.

    Raises:
        UsageError: naming the stage and the key.
    """
    folder = str(Path(recipe.dir) / name)
    stage = parse_stage(recipe, name, sections, run={"dir": folder}, model={"path": str(model)})
    if isinstance(stage, SftRecipe | RlRecipe):
        return stage
    raise UsageError(f"stages.{name}: a stage's method is sft or rl")


def spent(folder: Path, names: Sequence[str]) -> dict[str, float]:
    """Sum the training time of stages in seconds: wall clock, and CPU of the process."""
    rows = [row for name in names for row in finished_steps(folder / name)]
    return {
        "train_s": sum(row.get("time/step_s", 0.0) for row in rows),
        "train_cpu_s": sum(row["time/cpu_s"] for row in rows),
    }


def finished_steps(folder: Path) -> list[dict[str, Any]]:
    """Read the metrics of a stage's steps; rows of evaluations, without times, are left out."""
    return [row for row in files.read_records(Layout(folder).metrics) if "time/cpu_s" in row]


def parse_stage(recipe: DemoRecipe, name: str, sections: dict[str, Any], **fixed: Any) -> Any:
    """Merge base, stage and fixed sections; resolve data files inside the demo's world."""
    world = Path(recipe.dir) / "world"
    tree = merge(merge(recipe.base, sections), fixed)
    tree = merge({"name": name, "data": {"media_root": str(world)}}, tree)
    for where in ("data", "eval"):
        for key in ("train", "data"):
            if key in tree.get(where, {}):
                paths = [str(world / f) for f in tree[where][key]]
                tree[where] = tree[where] | {key: paths}  # a table that the recipe may hold, too
    return parse_recipe(tree, [(f"stages.{name}", tree)])


def held_out(recipe: DemoRecipe, name: str, sampled: bool) -> Path:
    """Locate the file of a stage's answers to the held-out questions."""
    (data,) = recipe.evaluate.data
    folder = Path(recipe.dir) / f"{name}-{'sampled' if sampled else 'held-out'}"
    return Layout(folder).evaluation(Path(data).stem)


def evaluate(
    recipe: DemoRecipe, name: str, model: Path, bad_words: Sequence[str] = ()
) -> dict[str, Any]:
    """Evaluate greedily under every view, and sampled at temperature 1 under ``ordered``.

    Returns:
        ``greedy`` and ``sampled``: figures of ``eval.metrics.summarise``, each with
        ``terse``, the share of its answers whose rationale is terse.
    """
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
        stage = parse_stage(recipe.model_copy(update={"base": shared}), name, {}, **fixed)
        assert isinstance(stage, EvalRecipe)
        (figures,) = evaluate_checkpoint(stage).values()
        answers = [row for row in files.read_records(file) if row["view"] == figures["view"]]
        terse = sum(f"<think>{TERSE}" in row["text"] for row in answers) / len(answers)
        out[label] = figures | {"terse": terse}
    return out
