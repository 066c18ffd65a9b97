"""Prove data files, tell what they hold, find what they say twice or share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kinograd.types import UsageError

if TYPE_CHECKING:
    from kinograd.config.video import VideoConfig
    from kinograd.datasets.formats.source import Placed

Files = Annotated[
    list[str],
    typer.Argument(metavar="FILE|video.KEY=VALUE", help="Data files; settings of the clips."),
]
Root = Annotated[
    Path | None, typer.Option(help="Folder under which media lie; without it they stay closed.")
]
RecipeOption = Annotated[
    list[Path] | None, typer.Option("--recipe", help="Recipe with the video and model sections.")
]
Workers = Annotated[int, typer.Option(min=1, help="Processes.")]
Backend = Annotated[str, typer.Option(help="Where they run: local or ray.")]
Format = Annotated[str, typer.Option("--format", help="Of the files, if not to be guessed.")]
_SHOWN = 20


def validate(
    files: Files,
    media_root: Root = None,
    decode: Annotated[bool, typer.Option("--decode", help="Decode every clip.")] = False,
    recipe: RecipeOption = None,
    out: Annotated[Path | None, typer.Option(help="Folder; FILE.validated if not set.")] = None,
    workers: Workers = 1,
    backend: Backend = "local",
    format: Format = "auto",
) -> None:
    """Prove every row: schema, options, answer, leakage, duplicates, paths, clips.

    Writes valid.jsonl, quarantine.jsonl (why, and the row) and report.json. Exit status 1 if
    a row was rejected. The same command goes on after any interruption.
    """
    from kinograd.curate.journal import Journal, digest_of
    from kinograd.curate.selection import apart
    from kinograd.curate.validate import Checks
    from kinograd.curate.validate import validate as work

    paths, video, size_factor = _asked(files, recipe)
    root = _absolute(media_root)
    folder = out or paths[0].with_name(f"{paths[0].name}.validated")
    apart(folder / "valid.jsonl", *paths)
    checks = Checks(video, root, decode, size_factor)
    digest = digest_of(paths, {"verb": "validate", "format": format, **_told(checks)})
    with (
        Journal(folder / "journal.jsonl", digest) as journal,
        _counting(paths, "validating") as advance,
    ):
        found = work(
            _placed(paths, format),
            folder,
            journal,
            checks,
            workers=workers,
            backend=backend,
            advance=advance,
        )
    _show_report(found, folder)
    if found["rejected"]:
        raise typer.Exit(1)


def stats(
    files: Files,
    media_root: Root = None,
    recipe: RecipeOption = None,
    html: Annotated[Path | None, typer.Option(help="Write a page with plots.")] = None,
    workers: Workers = 1,
    backend: Backend = "local",
    format: Format = "auto",
) -> None:
    """Count kinds, sources, answers, lengths; with --media-root seconds, frames and tokens."""
    from kinograd.curate.stats import summarise
    from kinograd.curate.stats_page import write_page

    paths, video, size_factor = _asked(files, recipe)
    with _counting(paths, "reading") as advance:
        summary = summarise(
            (row for _, row in _rows(paths, format)),
            video,
            _absolute(media_root),
            size_factor,
            workers=workers,
            backend=backend,
            advance=advance,
        )
    _show_stats(summary)
    if html is not None:
        write_page(summary, ", ".join(path.name for path in paths), html)
        print(f"page: {html}")


def dedup(
    file: Annotated[Path, typer.Argument(help="Data file.")],
    out: Annotated[Path, typer.Argument(help="JSONL file without the repetitions.")],
    media_root: Root = None,
    workers: Workers = 1,
    backend: Backend = "local",
    format: Format = "auto",
) -> None:
    """Leave out rows that ask an earlier row's question about the same or a look-alike clip."""
    from kinograd.commands.data.teach import show
    from kinograd.config.video import VideoConfig
    from kinograd.curate.journal import Journal, digest_of
    from kinograd.curate.near_duplicates import dedup as work
    from kinograd.curate.selection import apart

    apart(out, file)
    root = _absolute(media_root)
    digest = digest_of([file], {"verb": "dedup", "format": format, "media_root": root})
    with (
        Journal(out.with_name(f"{out.name}.journal"), digest) as journal,
        _counting([file], "comparing") as advance,
    ):
        outcome = work(
            _rows([file], format),
            out,
            journal,
            VideoConfig(),
            root,
            workers=workers,
            backend=backend,
            advance=advance,
        )
        journal.remove()
    show(out, outcome)


def overlap(
    train: Annotated[Path, typer.Argument(help="Data file that a model learns from.")],
    evaluation: Annotated[Path, typer.Argument(metavar="EVAL", help="File it is tested on.")],
    media_root: Root = None,
    out: Annotated[Path | None, typer.Option(help="JSONL file of all that is shared.")] = None,
    workers: Workers = 1,
    backend: Backend = "local",
    format: Format = "auto",
) -> None:
    """Find contamination: source files, look-alike clips and questions of EVAL in TRAIN.

    Exit status 1 if something is shared.
    """
    import json
    from collections import Counter

    from kinograd.config.video import VideoConfig
    from kinograd.curate.contamination import overlap as work
    from kinograd.curate.journal import Journal, digest_of
    from kinograd.files import atomic_text

    root = _absolute(media_root)
    asked = {"verb": "overlap", "format": format, "media_root": root}
    digest = digest_of([train, evaluation], asked)
    place = evaluation.with_name(f"{evaluation.name}.overlap.journal")
    with (
        Journal(place, digest) as journal,
        _counting([train, evaluation], "comparing") as advance,
    ):
        found = work(
            lambda: _rows([train], format),
            lambda: _rows([evaluation], format),
            journal,
            VideoConfig(),
            root,
            workers=workers,
            backend=backend,
            advance=advance,
        )
        journal.remove()
    for shared in found.shared[:_SHOWN]:
        print(f"{shared.eval} and {shared.train} share the {shared.by}: {shared.what}")
    for where, fault in found.unread[:_SHOWN]:
        print(f"{where} not looked at: {fault}")
    counts = Counter(shared.by for shared in found.shared)
    print(", ".join(f"{counts[by]} by {by}" for by in ("file", "clip", "question")), "shared")
    if out is not None:
        lines = (json.dumps(s.to_json(), ensure_ascii=False) + "\n" for s in found.shared)
        atomic_text(out, "".join(lines))
    if found.shared:
        raise typer.Exit(1)


# ---------------------------------------------------------------------- reading


def _asked(files: list[str], recipe: list[Path] | None) -> tuple[list[Path], VideoConfig, int]:
    """Data files, the clips' settings, and the patch grid (28 without a recipe's model)."""
    from kinograd.commands import read_recipe
    from kinograd.config.load import load_section
    from kinograd.config.video import VideoConfig

    settings = [f for f in files if f.startswith("video.") and "=" in f]
    paths = [Path(f) for f in files if f not in settings]
    if not paths:
        raise UsageError("no data file given")
    given: dict[str, Any] = {}
    size_factor = 28
    if recipe:
        from kinograd.commands.data.cache import size_factor as of_model

        resolved = read_recipe([str(path) for path in recipe])
        given, size_factor = resolved.video.model_dump(mode="json"), of_model(resolved)
    overrides = [text.removeprefix("video.") for text in settings]
    video = load_section(VideoConfig, given, overrides)
    folder = None if video.cache_dir is None else str(Path(video.cache_dir).resolve())
    return paths, video.model_copy(update={"cache_dir": folder}), size_factor


def _absolute(folder: Path | None) -> str | None:
    """As workers elsewhere know it."""
    if folder is not None and not folder.is_dir():
        raise UsageError(f"--media-root {folder}: no such folder")
    return None if folder is None else str(folder.resolve())


def _placed(paths: Iterable[Path], format: str) -> Iterator[Placed]:
    from kinograd.datasets.formats import read_placed

    return chain.from_iterable(read_placed(path, format) for path in paths)


def _rows(paths: Iterable[Path], format: str) -> Iterator[Placed]:
    from kinograd.datasets.formats.source import unique

    return unique(_placed(paths, format))


def _told(checks: Any) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(checks) | {"video": checks.video.model_dump(mode="json")}


@contextmanager
def _counting(paths: Iterable[Path], description: str) -> Iterator[Callable[[], object]]:
    """A progress bar where rows can be counted as lines: files named .jsonl."""
    from kinograd.progress import progress

    total = 0
    if any(path.suffix != ".jsonl" or not path.is_file() for path in paths):
        yield lambda: None
        return
    for path in paths:
        with path.open("rb") as stream:
            total += sum(block.count(b"\n") for block in iter(lambda: stream.read(1 << 20), b""))
    with progress(total, description) as bar:
        yield bar.advance


# ---------------------------------------------------------------------- showing


def _show_report(report: dict[str, Any], folder: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("source", "rows", "valid", "rejected")
    lines = sorted(report["by_source"].items(), key=lambda item: -item[1]["rows"])[:_SHOWN]
    for name, found in [*lines, ("all", report)]:
        rejected = ", ".join(f"{count} {reason}" for reason, count in found["rejected"].items())
        table.add_row(name or "(none)", str(found["rows"]), str(found["valid"]), rejected)
    Console(markup=False).print(table)
    if report["media_root"] is None:
        print("clips: not looked at (give --media-root)")
    else:
        print(f"clips: {'decoded' if report['decoded'] else 'opened, not decoded (--decode)'}")
    print(f"report, valid and rejected rows: {folder}")


def _show_stats(summary: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(markup=False)  # a source may be called [/x]
    for name, counts in summary["counts"].items():
        shown = list(counts.items())[:_SHOWN]
        console.print(f"{name}: {', '.join(f'{n} {entry}' for entry, n in shown)}")
    table = Table("rows by", "", "rows", "answers", "commonest", "always guessing it")
    for group in summary["answers"][:_SHOWN]:
        more = "+" if group["more_distinct"] else ""
        share = f"{100 * group['accuracy']:.1f} %"
        cells = (str(group["rows"]), f"{group['distinct']}{more}", group["commonest"][:40], share)
        table.add_row(group["by"], group["name"] if group["by"] != "all" else "", *cells)
    console.print(table)
    lengths = Table("", "values", "mean", "least", "5 %", "median", "95 %", "most")
    for name, found in summary["numbers"].items():
        if found["n"]:
            keys = ("mean", "min", "p5", "p50", "p95", "max")
            lengths.add_row(name, str(found["n"]), *(f"{found[key]:.4g}" for key in keys))
    console.print(lengths)
    for what, counts in (("not read", summary["unread"]), ("clip fails", summary["failed"])):
        for reason, count in counts.items():
            print(f"{count} rows: {what}: {reason}")
