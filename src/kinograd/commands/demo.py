"""``kinograd demo``: the whole story on one machine, as one recipe.

Renders a synthetic world, makes a tiny model from scratch, runs the recipe's stages with
the same loops that train large models, and beside the last one its controls, from the same
start and in the same time; evaluates after each, and writes a report.
"""

from __future__ import annotations

from pathlib import Path

import typer

from kinograd.commands import DryRun, read_recipe
from kinograd.types import UsageError

DEMO = "demo/demo.yaml"


def run(
    recipe: list[str] = typer.Argument(None, metavar="[RECIPE...] [KEY=VALUE...]"),
    dry_run: DryRun = False,
) -> None:
    """Build a world, cold-start a tiny model, reinforce it, evaluate, report."""
    from kinograd.config.load import dump_recipe
    from kinograd.synthetic.demo.stages import check_stages, run_demo

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
