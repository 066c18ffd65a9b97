"""``kinograd eval``: a checkpoint on held-out questions, and two evaluations compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from kinograd.commands import DryRun, RecipeArguments, read_recipe
from kinograd.runs.layout import Layout
from kinograd.types import UsageError


def run(recipe: RecipeArguments, dry_run: DryRun = False) -> None:
    """Evaluate a checkpoint, or compare two evaluations: eval compare A.jsonl B.jsonl."""
    if recipe[0] == "compare":
        if len(recipe) != 3:
            raise UsageError("eval compare takes two files: kinograd eval compare A.jsonl B.jsonl")
        show_comparison(Path(recipe[1]), Path(recipe[2]))
        return
    from kinograd.eval.recipe import evaluate_checkpoint

    loaded = read_recipe(recipe, "eval", dry_run)
    figures = evaluate_checkpoint(loaded)
    for name, one in figures.items():
        show_figures(name, one)
    if loaded.eval.published:
        show_published(loaded.eval.published, Layout(Path(loaded.run.dir)), list(figures))


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


def show_published(protocol: str, layout: Layout, stems: list[str]) -> None:
    """Print our figures beside the published ones, a row per data file."""
    from kinograd.eval.benchmarks import find_benchmark, find_source
    from kinograd.eval.benchmarks.metrics import METRICS
    from kinograd.eval.metrics import read_records

    asked = {stem: find_benchmark(stem) for stem in stems}
    columns = [name for name in METRICS if any(name in b.metrics for b in asked.values())]
    source = find_source(protocol)
    shown = Table(title=f"beside {source.source}")
    for column in ("data", *columns, "published"):
        label = column.replace("_", " ")
        shown.add_column(label, justify="right" if column in columns else "left")
    for stem, benchmark in asked.items():
        records = read_records(layout.evaluation(stem))
        found = {name: METRICS[name](records) for name in benchmark.metrics}
        published = benchmark.published.get(protocol, {}).items()
        shown.add_row(
            stem,
            *(str(found.get(name) or "") for name in columns),
            ", ".join(f"{system} {figure:g}" for system, figure in published) or "none",
        )
    console = Console()
    console.print(shown)
    console.print(source.note)


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
