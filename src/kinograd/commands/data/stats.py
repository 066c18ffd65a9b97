"""``kinograd data stats``: what data files hold."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from kinograd.commands.data.clips import ClipSettings, read_clip_words
from kinograd.commands.data.results import SHOWN, absolute_root, counting, unique_rows
from kinograd.commands.settings import Words
from kinograd.curate.stats import summarise
from kinograd.curate.stats_page import write_page

Settings = ClipSettings


def run(
    words: Words,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="HTML page with plots to write.")
    ] = None,
) -> None:
    """Count kinds, sources, answers, lengths; with media_root seconds, frames and tokens."""
    files, settings, size_factor = read_clip_words(words, Settings)
    with counting(files, "reading") as advance:
        summary = summarise(
            (row for _, row in unique_rows(files, settings.format)),
            settings.video,
            absolute_root(settings.media_root),
            size_factor,
            workers=settings.workers,
            backend=settings.backend,
            advance=advance,
        )
    _show(summary)
    if out is not None:
        write_page(summary, ", ".join(Path(file).name for file in files), out)
        print(f"page: {out}")


def _show(summary: dict[str, Any]) -> None:
    console = Console(markup=False)  # a source may be called [/x]
    for name, counts in summary["counts"].items():
        shown = list(counts.items())[:SHOWN]
        console.print(f"{name}: {', '.join(f'{n} {entry}' for entry, n in shown)}")
    table = Table("rows by", "", "rows", "answers", "commonest", "always guessing it")
    for group in summary["answers"][:SHOWN]:
        more = "+" if group["more_distinct"] else ""
        share = f"{100 * group['accuracy']:.1f} %"
        cells = (str(group["rows"]), f"{group['distinct']}{more}", group["commonest"][:40], share)
        table.add_row(group["by"], group["name"] if group["by"] != "all" else "", *cells)
    console.print(table)
    lengths = Table("", "values", "mean", "least", "5 %", "median", "95 %", "most")
    for name, numbers in summary["numbers"].items():
        if numbers["n"]:
            keys = ("mean", "min", "p5", "p50", "p95", "max")
            lengths.add_row(name, str(numbers["n"]), *(f"{numbers[key]:.4g}" for key in keys))
    console.print(lengths)
    for what, counts in (("not read", summary["unread"]), ("clip fails", summary["failed"])):
        for reason, count in counts.items():
            print(f"{count} rows: {what}: {reason}")
