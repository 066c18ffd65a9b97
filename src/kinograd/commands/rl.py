"""``kinograd rl``: reinforcement from answers."""

from __future__ import annotations

from kinograd.commands import DryRun, RecipeArguments, read_recipe


def run(recipe: RecipeArguments, dry_run: DryRun = False) -> None:
    """Improve a model by reinforcement; run the same command again to resume."""
    loaded = read_recipe(recipe, "rl", dry_run)
    from kinograd.train.rl import train_rl

    print(f"model in {train_rl(loaded)}")
