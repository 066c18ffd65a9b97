"""``kinograd data annotate``: chains of thought from a teacher."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from kinograd.commands.data.results import show
from kinograd.commands.settings import Out, Words, read_words
from kinograd.config.data_formats import DataFormat
from kinograd.config.teacher import AnnotateConfig
from kinograd.curate.annotate import annotate, asked_of
from kinograd.curate.journal import Journal, digest_of
from kinograd.curate.selection import refuse_overwrite
from kinograd.datasets.load import read_rows
from kinograd.endpoint.teacher import Teacher
from kinograd.judge import build_judges
from kinograd.types import KinogradError
from kinograd.video.clip_store import ClipStore


class Settings(AnnotateConfig):
    """Settings of ``data annotate``."""

    format: DataFormat = "auto"
    """Format of the rows."""


def run(words: Words, out: Out) -> None:
    """Have a teacher write rationales; keep those whose answer verifies.

    Replies are journalled in OUT.journal: after an interruption the same command resumes, and
    another threshold or share selects from the same replies.
    """
    (source,), config = read_words(words, Settings)
    refuse_overwrite(out, source)
    teacher = Teacher(config.teacher)
    with (
        ClipStore(config.video, config.media_root, config.video.spec().size_factor) as store,
        Journal(out.with_name(f"{out.name}.journal"), digest_of([], asked_of(config))) as journal,
    ):
        rows = partial(read_rows, source, config.format)
        judges = build_judges(config.judges)
        outcome = annotate(rows, source, out, config, teacher, store, journal, judges)
    show(out, outcome)
    show_cost(teacher, out)
    if not outcome.kept:
        raise KinogradError(f"no row was kept; {out} is empty, the reasons are listed above")


def show_cost(teacher: Teacher, out: Path) -> None:
    """Print how often a teacher was asked and what it took."""
    used = teacher.usage
    cost = f", cost {teacher.cost:.4g}" if teacher.cost else ""
    print(
        f"asked {used.completed + used.failed} times: {used.prompt_tokens} tokens in, "
        f"{used.completion_tokens} out{cost}; replies are kept in {out}.journal"
    )
