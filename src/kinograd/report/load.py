"""Reader of run folders, in which every file is optional."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from kinograd import files
from kinograd.eval.metrics import EvalRecord, read_records
from kinograd.runs.layout import Layout
from kinograd.types import DataError


@dataclass(frozen=True)
class Run:
    """Content of one run folder.

    Attributes:
        name: label in the report, unique within it.
        recipe, recipe_text: parsed and as written.
        starts: the environment at each start (``env.json``).
        rollout_files: ``rollouts/step-N.jsonl`` by step, not read yet.
        evaluations: records by name, in natural order (step-20 before step-100).
    """

    name: str
    path: Path
    recipe: dict[str, Any]
    recipe_text: str
    starts: list[dict[str, Any]]
    metrics: list[dict[str, Any]]
    quarantine: list[dict[str, Any]]
    rollout_files: dict[int, Path]
    evaluations: dict[str, list[EvalRecord]]

    @property
    def method(self) -> str:
        return str(self.recipe.get("method", "evaluation"))


def load_runs(folders: Sequence[Path]) -> list[Run]:
    """Load all runs in ``folders``, each a run folder, a folder of run folders, or both.

    Raises:
        DataError: a folder holds no run, or a file in it is damaged.
    """
    found: list[Path] = []
    for folder in folders:
        if not folder.is_dir():
            raise DataError(f"{folder} is not a folder")
        children = _children(folder)
        runs = children + ([folder] if _is_run(folder, stages=bool(children)) else [])
        if not runs:
            raise DataError(
                f"{folder} holds no run: no recipe.yaml, metrics.jsonl or eval/*.jsonl in it "
                "or in the folders inside it"
            )
        found += runs
    found = list(dict.fromkeys(path.resolve() for path in found))
    return [_load(path, name) for path, name in zip(found, _names(found), strict=True)]


def load_summaries(folders: Sequence[Path]) -> dict[str, Any]:
    """Read the ``summary.json`` of each folder that has one, by folder name."""
    files = {folder.resolve().name: folder / "summary.json" for folder in folders}
    return {name: _json(file) for name, file in files.items() if file.is_file()}


def _is_run(folder: Path, stages: bool = False) -> bool:
    """Tell whether a folder has something to show; a recipe of ``stages`` alone has not."""
    layout = Layout(folder)
    has_recipe = layout.recipe.is_file() and not stages
    return bool(layout.evaluation_files()) or has_recipe or layout.metrics.is_file()


def _children(folder: Path) -> list[Path]:
    """List the run folders directly inside, in the order in which they started."""
    runs = [p for p in folder.iterdir() if p.is_dir() and _is_run(p)]
    return sorted(runs, key=lambda p: (_started(p), p.name))


def _started(path: Path) -> str:
    starts = Layout(path).read_starts()
    return str(starts[0].get("time", "")) if starts else "~"  # after every date


def _names(paths: list[Path]) -> list[str]:
    """Shorten the paths to the fewest trailing parts that keep them distinct."""
    for depth in range(1, max((len(p.parts) for p in paths), default=1) + 1):
        names = ["/".join(p.parts[-depth:]) for p in paths]
        if len(set(names)) == len(names):
            return names
    raise AssertionError("distinct resolved paths have distinct names")


def _load(path: Path, name: str) -> Run:
    layout = Layout(path)
    recipe_file = layout.recipe
    text = recipe_file.read_text(encoding="utf-8") if recipe_file.is_file() else ""
    try:
        recipe = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise DataError(f"{recipe_file} is not YAML: {error}") from None
    if not isinstance(recipe, dict):
        raise DataError(f"{recipe_file} is not a recipe: no keys on its top level")
    return Run(
        name=name,
        path=path,
        recipe=recipe,
        recipe_text=text,
        starts=layout.read_starts(),
        metrics=files.read_records(layout.metrics),
        quarantine=files.read_records(layout.quarantine),
        rollout_files=layout.rollout_files(),
        evaluations={f.stem: rows for f in layout.evaluation_files() if (rows := read_records(f))},
    )


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise DataError(f"{path} is not JSON ({error}); the file is damaged") from None
