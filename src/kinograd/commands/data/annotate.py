"""``kinograd data annotate``: chains of thought from a teacher."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kinograd.types import KinogradError

if TYPE_CHECKING:
    from kinograd.curate.journal import Journal
    from kinograd.endpoint.teacher import Teacher


def run(
    examples: Annotated[Path, typer.Argument(help="Rows, in any format of data import.")],
    out: Annotated[Path, typer.Argument(help="JSONL file of the rows with a rationale.")],
    teacher: Annotated[str, typer.Option(metavar="URL[,URL]", help="Its base URLs.")],
    model: Annotated[str, typer.Option(help="Name of the teacher's model.")],
    media_root: Annotated[Path, typer.Option(help="Folder under which media lie.")] = Path("."),
    settings: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="KEY=VALUE",
            help="Other settings, such as teacher.requests_per_minute=600 video.nframes=32.",
        ),
    ] = None,
    samples: Annotated[int, typer.Option(min=1, help="Replies per row.")] = 1,
    agree: Annotated[
        float, typer.Option(help="Share of them that must be right, so that they agree.")
    ] = 0.5,
    threshold: Annotated[float, typer.Option(help="Right is an accuracy above this.")] = 0.6,
    format: Annotated[str, typer.Option(help="Format of the rows.")] = "auto",
) -> None:
    """Have a teacher write rationales; keep those whose answer verifies.

    Replies are journalled in OUT.journal: the same command goes on after any interruption,
    and another threshold or share selects anew without asking again.
    """
    from kinograd.commands.data.results import show
    from kinograd.config.load import load_section
    from kinograd.config.teacher import AnnotateConfig
    from kinograd.curate.annotate import annotate as work
    from kinograd.curate.annotate import asked_of
    from kinograd.curate.journal import Journal, digest_of
    from kinograd.curate.selection import refuse_overwrite
    from kinograd.datasets.load import read_rows
    from kinograd.endpoint.teacher import Teacher
    from kinograd.judge import build_judges
    from kinograd.video.clip_store import ClipStore

    refuse_overwrite(out, examples)
    given: dict[str, Any] = {
        "teacher": {"urls": [url.strip() for url in teacher.split(",")], "model": model},
        "media_root": str(media_root),
        "samples": samples,
        "agree": agree,
        "threshold": threshold,
    }
    config = load_section(AnnotateConfig, given, settings or ())
    asked = Teacher(config.teacher)
    with (
        ClipStore(config.video, config.media_root, config.video.spec().size_factor) as store,
        Journal(out.with_name(f"{out.name}.journal"), digest_of([], asked_of(config))) as journal,
    ):
        rows = partial(read_rows, examples, format)
        judges = build_judges(config.judges)
        outcome = work(rows, str(examples), out, config, asked, store, journal, judges)
    show(out, outcome)
    show_cost(asked, journal)
    if not outcome.kept:
        raise KinogradError(f"no row was kept; {out} is empty, the reasons stand above")


def show_cost(teacher: Teacher, journal: Journal) -> None:
    """What was asked and what it took."""
    used = teacher.usage
    cost = f", cost {teacher.cost:.4g}" if teacher.cost else ""
    print(
        f"asked {used.completed + used.failed} times: {used.prompt_tokens} tokens in, "
        f"{used.completion_tokens} out{cost}; replies are kept in {journal.path}"
    )
