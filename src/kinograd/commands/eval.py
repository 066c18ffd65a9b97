"""``kinograd eval``: a checkpoint on held-out questions, and two evaluations compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from kinograd.commands import DryRun, RecipeArguments, read_recipe
from kinograd.config.schema import EvalRecipe
from kinograd.types import UsageError


def run(recipe: RecipeArguments, dry_run: DryRun = False) -> None:
    """Evaluate a checkpoint, or compare two evaluations: eval compare A.jsonl B.jsonl."""
    if recipe[0] == "compare":
        if len(recipe) != 3:
            raise UsageError("eval compare takes two files: kinograd eval compare A.jsonl B.jsonl")
        show_comparison(Path(recipe[1]), Path(recipe[2]))
        return
    loaded = read_recipe(recipe, "eval", dry_run)
    figures = evaluate_checkpoint(loaded)
    for name, one in figures.items():
        show_figures(name, one)
    if loaded.eval.published:
        show_published(loaded.eval.published, Path(loaded.run.dir) / "eval", list(figures))


def evaluate_checkpoint(recipe: EvalRecipe) -> dict[str, dict[str, Any]]:
    """Evaluate ``recipe.model`` on every data file; figures by the file's stem.

    Answers go to ``run.dir/eval/<stem>.jsonl``; an interrupted evaluation goes on.
    """
    from kinograd.data.reading import load_examples
    from kinograd.eval.published import table as published_table
    from kinograd.eval.runner import evaluate
    from kinograd.judge import build_judges
    from kinograd.models.load import load
    from kinograd.models.reader import Reader
    from kinograd.rewards.score import check_routing
    from kinograd.rollout.in_process import InProcessEngine
    from kinograd.train.inputs import input_digests
    from kinograd.train.monitor import RunFolder
    from kinograd.video.cache import ClipStore

    if not recipe.eval.data:
        raise UsageError("eval.data: no files to evaluate on")
    if recipe.eval.published:
        published_table(recipe.eval.published)
    stems = [Path(f).stem for f in recipe.eval.data]
    if twice := sorted({s for s in stems if stems.count(s) > 1}):
        raise UsageError(f"eval.data: two files are named {twice[0]}; answers go by that name")
    judges = build_judges(recipe.judges)
    form, limit = recipe.eval.format or recipe.data.format, recipe.eval.max_error_fraction
    read = {Path(f).stem: load_examples([f], form, limit) for f in recipe.eval.data}
    sets = {stem: rows[: recipe.eval.limit] for stem, (rows, _) in read.items()}
    check_routing({e.kind for rows in sets.values() for e in rows}, recipe.reward, judges)
    model = load(recipe.model)
    root = recipe.eval.media_root or recipe.data.media_root
    unit = model.geometry.patch * model.geometry.merge
    digests = input_digests(recipe.eval.data, model.path)
    figures = {}
    with (
        RunFolder.open(recipe, Path(recipe.run.dir), data_hashes=digests) as folder,
        ClipStore(recipe.video, Path(root), unit) as store,
    ):
        reader = Reader(model, store, recipe.prompt, recipe.run.seed)
        engine = InProcessEngine(model, recipe.rollout)
        for row in (row for _, rejected in read.values() for row in rejected):
            folder.quarantine(row.id or row.where, row.reason, f"{row.where}: {row.detail}")
        for stem, examples in sets.items():
            figures[stem] = evaluate(
                engine,
                reader,
                examples,
                recipe.eval,
                recipe.reward,
                folder.path / "eval" / f"{stem}.jsonl",
                judges=judges,
                key=(recipe.run.seed, "eval"),
            )
    return figures


# --------------------------------------------------------------------- tables


def percent(cell: dict[str, Any]) -> str:
    """Accuracy with its 95 % interval, in percent."""
    if cell["accuracy"] is None:
        return "none scored"
    return f"{100 * cell['accuracy']:.1f} [{100 * cell['low']:.1f}, {100 * cell['high']:.1f}]"


def show_figures(name: str, figures: dict[str, Any]) -> None:
    """One evaluation as a table: families down, views across."""
    views = figures["views"]
    table = Table(title=f"{name}: accuracy in % with 95 % interval")
    for column in ("family", "n", *views, "majority"):
        table.add_column(column, justify="left" if column == "family" else "right")
    for family in figures["by"]["family"]:
        cells = [v["by"]["family"].get(family) for v in views.values()]
        main = figures["by"]["family"][family]
        table.add_row(
            family,
            str(main["n"]),
            *(percent(c) if c else "" for c in cells),
            f"{100 * main['majority']:.1f}",
        )
    table.add_section()
    table.add_row(
        "all",
        str(figures["n"]),
        *(percent(v) for v in views.values()),
        f"{100 * figures['majority']:.1f}",
    )
    console = Console()
    console.print(table)
    trouble = {k: v for k, v in figures["unscored"].items() if v} | (
        {"errors": figures["errors"]} if figures["errors"] else {}
    )
    if trouble:
        console.print(f"left out of accuracy: {trouble}")


def show_published(name: str, folder: Path, stems: list[str]) -> None:
    """Our figures and the published ones, a row per data file."""
    from kinograd.eval.metrics import read_records
    from kinograd.eval.published import figures_of, own_figures, table

    shown = Table(title=f"beside {table(name)['source']}")
    for column in ("data", "accuracy", "score", "published"):
        shown.add_column(column, justify="right" if column in ("accuracy", "score") else "left")
    for stem in stems:
        cell, score = own_figures(read_records(folder / f"{stem}.jsonl"))
        figures = figures_of(name, stem).items()
        shown.add_row(
            stem,
            "" if cell is None else percent(cell),
            "" if score is None else f"{score:.1f}",
            ", ".join(f"{system} {figure:g}" for system, figure in figures) or "none",
        )
    console = Console()
    console.print(shown)
    console.print(table(name)["note"])


def show_comparison(a: Path, b: Path) -> None:
    """Paired difference of two evaluations of the same questions."""
    from kinograd.eval.metrics import compare

    result = compare(a, b)
    table = Table(title=f"{b} minus {a}, in points")
    for column in ("view", "pairs", "before", "after", "difference", "95 % interval", "p"):
        table.add_column(column, justify="left" if column == "view" else "right")
    for view, one in result["views"].items():
        points = [one[k] for k in ("a", "b", "difference", "low", "high")]
        a_, b_, gap, low, high = (None if x is None else 100 * x for x in points)
        table.add_row(
            view,
            str(one["pairs"]),
            "" if a_ is None else f"{a_:.1f}",
            "" if b_ is None else f"{b_:.1f}",
            "" if gap is None else f"{gap:+.1f}",
            "" if low is None else f"[{low:+.1f}, {high:+.1f}]",
            "" if one["p"] is None else f"{one['p']:.2g}",
        )
    Console().print(table)
