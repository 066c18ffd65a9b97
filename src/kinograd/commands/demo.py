"""``kinograd demo``: the method from raw clips to a report on one machine, as one recipe."""

from __future__ import annotations

import typer

from kinograd.commands import DryRun, read_recipe
from kinograd.config.load import dump_recipe, packaged_recipe


def run(
    recipe: list[str] = typer.Argument(
        None,
        metavar="[RECIPE...] [KEY=VALUE...]",
        help="Recipe files and overrides; without a file the packaged demo/demo.yaml.",
    ),
    dry_run: DryRun = False,
) -> None:
    """Build a synthetic world, train and evaluate a tiny model, and write a report."""
    words = recipe or []
    if all("=" in w for w in words):
        words = [str(packaged_recipe("demo/demo.yaml")), *words]
    loaded = read_recipe(words, "demo")
    # torch and transformers load here, so that --help and a wrong recipe answer at once
    from kinograd.synthetic.demo.run import check_stages, run_demo

    check_stages(loaded)
    if dry_run:
        print(dump_recipe(loaded), end="")
        return
    print(f"report: {run_demo(loaded)}")
