"""Figures of a demo: the entries of ``summary.json`` and the printed tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from kinograd.config.schema import DemoRecipe
from kinograd.eval.metrics import compare
from kinograd.synthetic.demo.stage import held_out


def brief(stage: dict[str, Any]) -> dict[str, Any]:
    """Select the figures of a stage for ``summary.json``: per view, accuracy per family."""
    names = ("n", "accuracy", "low", "high", "majority", "length", "truncated", "unscored")
    out: dict[str, Any] = {}
    for label in ("greedy", "sampled"):
        out[label] = {
            view: {k: cell[k] for k in names}
            | {"families": {f: c["accuracy"] for f, c in cell["by"]["family"].items()}}
            for view, cell in stage[label]["views"].items()
        }
        out[label]["ordered"]["terse"] = stage[label]["terse"]
    return out | {k: stage[k] for k in ("train_s", "train_cpu_s")}


def paired(recipe: DemoRecipe, pairs: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Compare the stages of each pair, second minus first, question by question."""

    def one(a: str, b: str, sampled: bool) -> dict[str, Any]:
        pair = compare(held_out(recipe, a, sampled), held_out(recipe, b, sampled))
        return {k: v for k, v in pair.items() if k != "families"}

    return {
        f"{b} minus {a}": {"greedy": one(a, b, False), "sampled": one(a, b, True)} for a, b in pairs
    }


def show(summary: dict[str, Any]) -> None:
    """Print the table on held-out clips: stages, controls, paired differences."""
    first = next(iter(summary["stages"].values()))["greedy"]
    views = list(first["views"])
    table = Table(
        title=f"{first['n']} held-out questions: accuracy in %, ± half of the 95 % interval",
        caption="sampled: one answer each at temperature 1; terse: without a derivation; "
        "views and tokens: greedy",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    for column in ("", "sampled", *views, "tokens", "terse", "s"):
        table.add_column(column, justify="right" if column else "left", no_wrap=True)
    table.add_row("commonest answer", "", f"{100 * first['majority']:.1f}")
    for part in ("stages", "controls"):
        table.add_section()
        for name, one in summary[part].items():
            greedy, sampled = one["greedy"], one["sampled"]
            table.add_row(
                name,
                short(sampled),
                *(short(greedy["views"][v]) for v in views),
                f"{greedy['length']['mean']:.0f}",
                f"{100 * sampled['terse']:.0f}%",
                f"{one['train_s']:.0f}",
            )
    pairs = Table(
        title="paired differences in points, with 95 % interval",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    for column in ("", "sampled", "p", "greedy", "p"):
        pairs.add_column(column, justify="right" if column else "left", no_wrap=True)
    for name, pair in summary["paired"].items():
        pairs.add_row(name, *difference(pair["sampled"]), *difference(pair["greedy"]))
    console = Console()
    console.print(table)
    console.print(pairs)


def short(cell: dict[str, Any]) -> str:
    """Format accuracy with half the width of its interval, in percent."""
    if cell["accuracy"] is None:
        return "none scored"
    return f"{100 * cell['accuracy']:.1f}±{50 * (cell['high'] - cell['low']):.0f}"


def difference(pair: dict[str, Any]) -> tuple[str, str]:
    """Format a paired difference in points and its p; a single video has no interval."""
    if pair["difference"] is None:
        return "none scored", ""
    text = f"{100 * pair['difference']:+.1f}"
    if pair["low"] is not None:
        text += f" [{100 * pair['low']:.0f}, {100 * pair['high']:.0f}]"
    return text, f"{pair['p']:.1g}"
