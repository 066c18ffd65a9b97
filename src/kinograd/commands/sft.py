"""``kinograd sft``: supervised cold start."""

from __future__ import annotations

from kinograd.commands import DryRun, RecipeArguments, read_recipe


def run(recipe: RecipeArguments, dry_run: DryRun = False) -> None:
    """Fine-tune on worked examples; run the same command again to resume."""
    loaded = read_recipe(recipe, "sft", dry_run)
    from kinograd.train.sft import train_sft

    print(f"model in {train_sft(loaded)}")
