"""One module per verb: see ``cli.add_verbs``.

A verb is listed here once it works; ``kinograd --help`` shows this table, and only the
module of the verb that runs is imported.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

VERBS = {
    "demo": "The whole story on this machine: a world, a model from scratch, SFT, RL, report",
    "sft": "Supervised cold start from worked examples",
    "rl": "Reinforcement from answers: GRPO, T-GRPO",
    "eval": "Accuracy on held-out clips with intervals; eval compare A B, paired",
    "report": "One HTML file of a run: curves, evaluations, rollouts with their frames",
    "ask": "One question about one clip",
    "data": "Import, prove, count, mix, filter and annotate data; proxy tasks; cached clips",
    "judge": "Serve a judge model; prove that a judge judges a canary set right",
    "config": "Show a resolved recipe, or the JSON Schema of recipes",
    "doctor": "Check the installation: versions, devices, known conflicts, and what mends them",
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
    """The recipe named on a command line; whatever holds ``=`` is an override.

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
