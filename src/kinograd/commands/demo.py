"""``kinograd demo``: the whole story on one machine, as one recipe.

Renders a synthetic world, makes a tiny model from scratch, runs the recipe's stages with
the same loops that train large models, evaluates after each, and writes a report.

Imports sibling commands.eval, to evaluate a stage as ``kinograd eval`` would.
"""

from __future__ import annotations

import json
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from kinograd import records
from kinograd.commands import DryRun, read_recipe
from kinograd.commands.eval import evaluate_checkpoint
from kinograd.config.load import dump_recipe, merge, parse_recipe
from kinograd.config.schema import DemoRecipe, EvalRecipe, RlRecipe, SftRecipe
from kinograd.progress import progress
from kinograd.types import UsageError

DEMO = "demo/demo.yaml"


def run(
    recipe: list[str] = typer.Argument(None, metavar="[RECIPE...] [KEY=VALUE...]"),
    dry_run: DryRun = False,
) -> None:
    """Build a world, cold-start a tiny model, reinforce it, evaluate, report."""
    words = recipe or []
    if all("=" in w for w in words):
        words = [str(recipes_folder() / DEMO), *words]
    loaded = read_recipe(words, "demo")
    check_stages(loaded)
    if dry_run:
        print(dump_recipe(loaded), end="")
        return
    print(f"report: {run_demo(loaded)}")


def recipes_folder() -> Path:
    """Where the recipes lie: inside the installed package, or at the root of a checkout."""
    here = Path(__file__).resolve().parents[1]
    for folder in (here / "recipes", here.parents[1] / "recipes"):
        if folder.is_dir():
            return folder
    raise UsageError("the demo's recipe is not installed; name a recipe file")


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
        _training(recipe, name, sections, Path(recipe.dir) / "untrained")


def run_demo(recipe: DemoRecipe) -> Path:
    """Run or resume the demo; returns the report's path."""
    from kinograd.data.theatre.build import build
    from kinograd.models.tiny import make_tiny
    from kinograd.report import write_report
    from kinograd.train.environment import describe_environment

    began = time.perf_counter()
    folder = Path(recipe.dir)
    world = folder / "world"
    rows = sum(s if isinstance(s, int) else s.rows for s in recipe.theatre.splits.values())
    with progress(rows, "world") as bar:
        build(recipe.theatre, world, bar.advance)
    base = folder / "untrained"
    if not (base / "model.safetensors").is_file():
        make_tiny(base, recipe.tiny.size, seed=recipe.tiny.seed)
    summary: dict[str, Any] = {"world_s": time.perf_counter() - began, "stages": {}}
    model = base
    for name, sections in recipe.stages.items():
        model = _train(recipe, name, sections, model)
        steps = records.read(folder / name / "metrics.jsonl")
        summary["stages"][name] = _evaluate(recipe, name, model) | {
            "train_s": sum(row.get("time/step_s", 0.0) for row in steps)
        }
    summary["seconds"] = time.perf_counter() - began  # of this call: a resumed demo takes less
    summary["paired"] = _compare(recipe, list(summary["stages"]))
    _show(summary)
    brief = {
        "environment": describe_environment({}),
        **summary,
        "stages": {name: _brief(one) for name, one in summary["stages"].items()},
    }
    records.write_atomically(folder / "summary.json", json.dumps(brief, indent=1).encode())
    write_report([folder], folder / "report.html")
    return folder / "report.html"


def _stage(recipe: DemoRecipe, name: str, sections: dict[str, Any], **fixed: Any) -> Any:
    """A stage's full recipe: shared sections, its own, and what the demo decides."""
    world = Path(recipe.dir) / "world"
    tree = merge(merge(recipe.base, sections), fixed)
    tree = merge({"name": name, "data": {"media_root": str(world)}}, tree)
    for where in ("data", "eval"):
        for key in ("train", "data"):
            if key in tree.get(where, {}):
                tree[where][key] = [str(world / f) for f in tree[where][key]]
    return parse_recipe(tree, [(f"stages.{name}", tree)])


def _train(recipe: DemoRecipe, name: str, sections: dict[str, Any], model: Path) -> Path:
    from kinograd.train.rl import train_rl
    from kinograd.train.sft import train_sft

    stage = _training(recipe, name, sections, model)
    return train_sft(stage) if isinstance(stage, SftRecipe) else train_rl(stage)


def _training(
    recipe: DemoRecipe, name: str, sections: dict[str, Any], model: Path
) -> SftRecipe | RlRecipe:
    folder = str(Path(recipe.dir) / name)
    stage = _stage(recipe, name, sections, run={"dir": folder}, model={"path": str(model)})
    if isinstance(stage, SftRecipe | RlRecipe):
        return stage
    raise UsageError(f"stages.{name}: a stage's method is sft or rl")


def _held_out(recipe: DemoRecipe, name: str, sampled: bool) -> Path:
    return Path(recipe.dir) / f"{name}-{'sampled' if sampled else 'held-out'}"


def _evaluate(recipe: DemoRecipe, name: str, model: Path) -> dict[str, Any]:
    """Greedy under every view, and one sample per question at temperature 1, ordered."""
    out = {}
    shared = {k: recipe.base[k] for k in ("video", "prompt", "reward") if k in recipe.base}
    for label, sampled in (("greedy", False), ("sampled", True)):
        config = recipe.evaluate.model_dump(mode="json")
        if sampled:
            config["sampling"]["temperature"] = 1.0
            config["views"] = ["ordered"]
        fixed = {
            "method": "eval",
            "run": {"dir": str(_held_out(recipe, name, sampled))},
            "model": {"path": str(model)},
            "eval": config,
        }
        stage = _stage(recipe.model_copy(update={"base": shared}), name, {}, **fixed)
        assert isinstance(stage, EvalRecipe)
        (out[label],) = evaluate_checkpoint(stage).values()
    return out


def _brief(stage: dict[str, Any]) -> dict[str, Any]:
    """A stage's figures as kept in ``summary.json``: per view, and accuracy per family."""
    names = ("n", "accuracy", "low", "high", "majority", "length", "truncated", "unscored")
    return {
        label: {
            view: {k: cell[k] for k in names}
            | {"families": {f: c["accuracy"] for f, c in cell["by"]["family"].items()}}
            for view, cell in stage[label]["views"].items()
        }
        for label in ("greedy", "sampled")
    } | {"train_s": stage["train_s"]}


def _compare(recipe: DemoRecipe, names: list[str]) -> dict[str, Any]:
    """Every stage against the one before it, question by question."""
    from kinograd.eval.metrics import compare

    (data,) = recipe.evaluate.data
    file = Path("eval") / f"{Path(data).stem}.jsonl"
    return {
        f"{after} minus {before}": {
            label: _without_families(
                compare(
                    _held_out(recipe, before, sampled) / file,
                    _held_out(recipe, after, sampled) / file,
                )
            )
            for label, sampled in (("greedy", False), ("sampled", True))
        }
        for before, after in pairwise(names)
    }


def _without_families(pair: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in pair.items() if k != "families"}


def _show(summary: dict[str, Any]) -> None:
    """The before/after table on held-out clips."""
    stages = summary["stages"]
    first = next(iter(stages.values()))["greedy"]
    views = list(first["views"])
    table = Table(
        title=f"{first['n']} held-out questions: accuracy in %, ± half of the 95 % interval",
        caption="sampled: one answer each at temperature 1; the views: greedy",
        box=box.SIMPLE_HEAD,
    )
    for column in ("stage", "sampled", *views, "tokens", "s"):
        table.add_column(column, justify="left" if column == "stage" else "right", no_wrap=True)
    table.add_row("commonest", "", f"{100 * first['majority']:.1f}")
    for name, one in stages.items():
        greedy = one["greedy"]
        table.add_row(
            name,
            short(one["sampled"]),
            *(short(greedy["views"][v]) for v in views),
            f"{greedy['length']['mean']:.0f}",
            f"{one['train_s']:.0f}",
        )
    console = Console()
    console.print(table)
    for name, pair in summary["paired"].items():
        for label, one in pair.items():
            console.print(f"{name}, {label}: {difference(one)}")


def short(cell: dict[str, Any]) -> str:
    """Accuracy with half the width of its interval, in percent."""
    if cell["accuracy"] is None:
        return "none scored"
    return f"{100 * cell['accuracy']:.1f} ±{50 * (cell['high'] - cell['low']):.1f}"


def difference(pair: dict[str, Any]) -> str:
    """A paired difference in points; one video alone has no interval."""
    if pair["difference"] is None:
        return "no pair of scored answers"
    text = f"{100 * pair['difference']:+.1f} points"
    if pair["low"] is not None:
        text += f" ({100 * pair['low']:+.1f} to {100 * pair['high']:+.1f})"
    return f"{text}, p = {pair['p']:.2g}"
