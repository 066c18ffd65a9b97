"""``kinograd report``: one HTML file from run folders."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kinograd.types import UsageError

_OWN = b'content="Kinograd report"'


def run(
    folders: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Run folders, or folders of run folders.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="HTML file to write; by default report.html in the only RUN."
        ),
    ] = None,
) -> None:
    """Write curves, evaluations and rollouts of runs to one file that opens offline."""
    from kinograd.report import write_report

    if missing := [str(folder) for folder in folders if not folder.is_dir()]:
        raise UsageError(f"no such run folder: {', '.join(missing)}")
    if out is None and len(folders) > 1:
        raise UsageError("several runs make one report: say where with --out report.html")
    target = out or folders[0] / "report.html"
    if target.is_dir():
        raise UsageError(f"{target} is a folder; --out takes a file")
    if target.exists() and not _is_report(target):
        raise UsageError(f"{target} exists and is not a report; choose another --out")
    write_report(folders, target)
    print(target)


def _is_report(path: Path) -> bool:
    with path.open("rb") as stream:
        return _OWN in stream.read(4096)
