"""``kinograd data validate``: a check of every row."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from kinograd.commands.data.clips import ClipSettings, read_clip_words
from kinograd.commands.data.results import SHOWN, absolute_root, counting, rows_of
from kinograd.commands.settings import Words
from kinograd.curate.journal import Journal, digest_of
from kinograd.curate.selection import refuse_overwrite
from kinograd.curate.validate import Checks, validate


class Settings(ClipSettings):
    """Settings of ``data validate``."""

    decode: bool = False
    """Decode every clip, instead of only opening it."""


def run(
    words: Words,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Folder; FILE.validated if not set.")
    ] = None,
) -> None:
    """Check every row: schema, options, answer, leakage, duplicates, paths, clips.

    Writes valid.jsonl, quarantine.jsonl (reasons and rows) and report.json to OUT. The exit
    status is 1 if a row was rejected. After an interruption the same command resumes.
    """
    files, settings, size_factor = read_clip_words(words, Settings)
    root = absolute_root(settings.media_root)
    folder = out or Path(files[0]).with_name(f"{Path(files[0]).name}.validated")
    refuse_overwrite(folder / "valid.jsonl", *files)
    checks = Checks(settings.video, root, settings.decode, size_factor)
    options = asdict(checks) | {"video": checks.video.model_dump(mode="json")}
    digest = digest_of(files, {"verb": "validate", "format": settings.format, **options})
    with (
        Journal(folder / "journal.jsonl", digest) as journal,
        counting(files, "validating") as advance,
    ):
        report = validate(
            rows_of(files, settings.format),
            folder,
            journal,
            checks,
            workers=settings.workers,
            backend=settings.backend,
            advance=advance,
        )
    _show(report, folder)
    if report["rejected"]:
        raise typer.Exit(1)


def _show(report: dict[str, Any], folder: Path) -> None:
    table = Table("source", "rows", "valid", "rejected")
    lines = sorted(report["by_source"].items(), key=lambda item: -item[1]["rows"])[:SHOWN]
    for name, counts in [*lines, ("all", report)]:
        rejected = ", ".join(f"{count} {reason}" for reason, count in counts["rejected"].items())
        table.add_row(name or "(none)", str(counts["rows"]), str(counts["valid"]), rejected)
    Console(markup=False).print(table)
    if report["media_root"] is None:
        print("clips: not checked (set media_root=FOLDER)")
    else:
        print(f"clips: {'decoded' if report['decoded'] else 'opened, not decoded (decode=true)'}")
    print(f"report, valid and rejected rows: {folder}")
