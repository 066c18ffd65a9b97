"""One module per verb, imported when it runs: see ``cli.add_verbs``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

VERBS = {
    "demo": "Run the method on this machine: synthetic clips, tiny model, SFT, RL, report",
    "sft": "Fine-tune on worked examples (supervised cold start)",
    "rl": "Improve a model by reinforcement learning: GRPO, T-GRPO, …",
    "eval": "Evaluate a model with confidence intervals; eval compare A B, paired",
    "report": "Write one HTML file of runs: curves, evaluations, rollouts with frames",
    "ask": "Ask a model one question about one clip",
    "data": "Import, validate, mix, filter and annotate data; make proxy tasks; cache clips",
    "judge": "Serve a judge model; check a judge against the canary set",
    "config": "Show a resolved recipe, or the JSON Schema of recipes",
    "doctor": "Check the installation: versions, devices, known conflicts, and their fixes",
}
"""Verb to its line of help, in the order of use; the module is ``commands/<verb>.py``."""

RecipeArguments = Annotated[
    list[str],
    typer.Argument(
        metavar="RECIPE|KEY=VALUE",
        help="Recipe files, merged left to right, then overrides such as optim.lr=1e-6.",
    ),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Print the resolved recipe and stop, running nothing.")
]


def read_recipe(arguments: Sequence[str], method: str | None = None, dry_run: bool = False) -> Any:
    """Load the recipe named on a command line; a word with ``=`` is an override.

    Raises:
        UsageError: see ``config.load.load_recipe``.
        typer.Exit: after printing the resolved recipe, for ``--dry-run``.
    """
    from kinograd.config.load import dump_recipe, load_recipe

    overrides = [a for a in arguments if "=" in a]
    recipe = load_recipe([a for a in arguments if "=" not in a], overrides, method=method)
    if dry_run:
        print(dump_recipe(recipe), end="")
        raise typer.Exit
    return recipe
