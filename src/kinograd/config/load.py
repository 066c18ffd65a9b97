"""From YAML files and ``key.path=value`` overrides to one validated recipe, and back.

Files merge left to right and overrides come last: tables merge key by key, anything
else is replaced, and a table whose ``type`` changes is replaced whole, because the
keys of one algorithm or judge mean nothing to another.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from kinograd.config.recipe_errors import Layer, Layers, explain, suggest
from kinograd.config.recipe_yaml import MOST_NESTED, dump_yaml, parse_yaml
from kinograd.config.schema import DemoRecipe, EvalRecipe, Recipe, RlRecipe, SftRecipe
from kinograd.section import Section, is_table
from kinograd.types import UsageError

S = TypeVar("S", bound=Section)

METHODS: dict[str, type[SftRecipe | RlRecipe | EvalRecipe | DemoRecipe]] = {
    "sft": SftRecipe,
    "rl": RlRecipe,
    "eval": EvalRecipe,
    "demo": DemoRecipe,
}


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise UsageError(f"{path}: no such recipe file") from error
    except (OSError, ValueError) as error:  # not UTF-8, or NUL in the path
        raise UsageError(f"{path}: cannot be read as a recipe: {error}") from error
    tree = parse_yaml(text, str(path))
    if tree is None:
        raise UsageError(f"{path}: the recipe is empty")
    if not is_table(tree):
        raise UsageError(f"{path}: a recipe is a table (key: value), not a {type(tree).__name__}")
    return tree


# ---------------------------------------------------------------------- merge


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """``over`` laid on ``base``: tables key by key, a new ``type`` replaces its table.

    >>> merge({"algo": {"type": "t_grpo", "mu": 0.8}}, {"algo": {"type": "grpo"}})
    {'algo': {'type': 'grpo'}}
    """
    if "type" in over and over["type"] != base.get("type"):
        return dict(over)
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if is_table(old) and is_table(value) else value
    return merged


def _override(tree: dict[str, Any], text: str) -> None:
    """Set one ``key.path=value`` in the tree of overrides."""
    key, _, value = text.partition("=")
    if not re.fullmatch(r"[^\s.=]+(\.[^\s.=]+)*=.*", text, re.DOTALL):
        raise UsageError(f"{text!r}: an override is written key.path=value")
    *tables, last = key.split(".")
    if len(tables) >= MOST_NESTED:
        raise UsageError(f"override {key:.40}...: nested deeper than {MOST_NESTED} tables")
    for name in tables:
        inner = tree.get(name)
        tree[name] = inner if is_table(inner) else {}
        tree = tree[name]
    tree[last] = parse_yaml(value, f"override {key:.80}")


# ------------------------------------------------------------------- validate


def parse_recipe(tree: Mapping[str, Any], layers: Layers = ()) -> Recipe:
    """Validate a merged tree, strictly: text is no number and a number is no text.

    Args:
        layers: the sources the tree was merged from, so that messages name the file.

    Raises:
        UsageError: one line per fault.
    """
    method = tree.get("method")
    if not isinstance(method, str) or method not in METHODS:
        hint = suggest(method, METHODS) if isinstance(method, str) else ""
        what = f"unknown method {method!r}{hint}" if "method" in tree else "missing"
        names = " + ".join(name for name, tree in layers if tree) or "recipe"
        raise UsageError(f"{names}: method: {what}; one of {', '.join(METHODS)}")
    try:  # by way of JSON, where strict validation still takes a list for a tuple
        return METHODS[method].model_validate_json(json.dumps(tree), strict=True)
    except ValidationError as error:
        schema = METHODS[method].model_json_schema()
        raise UsageError("\n".join(explain(error, tree, layers, schema))) from error


def load_recipe(
    paths: Sequence[str | Path], overrides: Sequence[str] = (), *, method: str | None = None
) -> Recipe:
    """One recipe from files and overrides.

    Args:
        paths: YAML files, at least one; later ones win.
        overrides: ``key.path=value`` strings; values are YAML (``optim.lr=1e-6``).
        method: what the caller is about to run; a recipe for something else is refused.

    Raises:
        UsageError: naming the file, the key and the fix.
    """
    if not paths:
        raise UsageError("no recipe file given; see recipes/ for examples")
    layers: list[Layer] = [(str(p), _read(Path(p))) for p in paths]
    # Overrides are one layer, so that algo.mu=0.8 survives a later algo.type=t_grpo.
    given: dict[str, Any] = {}
    for text in overrides:
        _override(given, text)
    layers.append(("command line", given))
    tree: dict[str, Any] = {}
    for _, layer in layers:
        tree = merge(tree, layer)
    if method is not None and tree.setdefault("method", method) != method:
        raise UsageError(
            f"{paths[0]} is a recipe for {tree['method']!r}; run kinograd {tree['method']}"
        )
    return parse_recipe(tree, layers)


def load_section(section: type[S], given: Mapping[str, Any], overrides: Sequence[str]) -> S:
    """One section from values and ``key.path=value`` overrides, which win.

    Raises:
        UsageError: one line per fault.
    """
    over: dict[str, Any] = {}
    for text in overrides:
        _override(over, text)
    tree = merge(given, over)
    try:
        return section.model_validate_json(json.dumps(tree), strict=True)
    except ValidationError as error:
        layers = [("command line", tree)]
        raise UsageError(
            "\n".join(explain(error, tree, layers, section.model_json_schema()))
        ) from error


# --------------------------------------------------------------------- export


def dump_recipe(recipe: Recipe) -> str:
    """Write the resolved recipe as YAML, defaults included; loading it gives an equal one."""
    tree = recipe.model_dump(mode="json")
    return dump_yaml(tree)


def json_schema(method: str | None = None) -> dict[str, Any]:
    """JSON Schema of one method's recipes, or of all, for editors that complete YAML."""
    if method is None:
        return TypeAdapter(Recipe).json_schema()
    return METHODS[method].model_json_schema()


def packaged_recipe(name: str) -> Path:
    """Locate a recipe that comes with Kinograd, such as ``demo/demo.yaml``.

    Raises:
        UsageError: the recipes are not installed.
    """
    package = Path(__file__).resolve().parents[1]
    # inside the installed package, else at the root of a checkout
    for folder in (package / "recipes", package.parents[1] / "recipes"):
        if (folder / name).is_file():
            return folder / name
    raise UsageError(f"the recipe {name} is not installed; name a recipe file")
