"""Every recipe of the repository is valid, the stages of demos included."""

from __future__ import annotations

from pathlib import Path

import pytest

from kinograd.config.load import dump_recipe, load_recipe
from kinograd.config.schema import DemoRecipe
from kinograd.synthetic.demo.stage import parse_stage

RECIPES = Path(__file__).resolve().parents[3] / "recipes"
OVERLAYS = {"demo/one_gpu.yaml": "demo/demo.yaml"}  # laid over another recipe
FILES = sorted(p.relative_to(RECIPES).as_posix() for p in RECIPES.rglob("*.yaml"))
OVERLAYS |= {f"debug/{name}": name for name in FILES if f"debug/{name}" in FILES}  # twins


def test_there_are_recipes() -> None:
    assert "demo/demo.yaml" in FILES


@pytest.mark.parametrize("name", FILES)
def test_recipe_is_valid_and_survives_resolution(name: str, tmp_path: Path) -> None:
    below = [RECIPES / OVERLAYS[name]] if name in OVERLAYS else []
    recipe = load_recipe([*below, RECIPES / name])
    resolved = tmp_path / "resolved.yaml"
    resolved.write_text(dump_recipe(recipe))
    assert load_recipe([resolved]) == recipe
    if isinstance(recipe, DemoRecipe):
        for stage, sections in recipe.stages.items():
            built = parse_stage(recipe, stage, sections, run={"dir": "d"}, model={"path": "m"})
            assert built.method in ("sft", "rl")
