"""``kinograd config``: look at recipes without running them."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from kinograd.commands import RecipeArguments, read_recipe
from kinograd.config.load import METHODS, dump_recipe, json_schema
from kinograd.config.recipe_errors import suggest
from kinograd.types import UsageError

app = typer.Typer(no_args_is_help=True)


@app.command()
def show(recipe: RecipeArguments) -> None:
    """Print the resolved recipe, defaults included, as YAML."""
    print(dump_recipe(read_recipe(recipe)), end="")


@app.command()
def schema(
    method: Annotated[
        str | None, typer.Argument(help=f"One of {', '.join(METHODS)}; all when left out.")
    ] = None,
) -> None:
    """Print the JSON Schema of recipes, for editors that complete and check YAML."""
    if method is not None and method not in METHODS:
        known = ", ".join(METHODS)
        raise UsageError(f"unknown method {method!r}, not one of {known}{suggest(method, METHODS)}")
    print(json.dumps(json_schema(method), indent=1))
