"""``kinograd data dedup``: rows without near-duplicates."""

from __future__ import annotations

from kinograd.commands.data.clips import MediaSettings
from kinograd.commands.data.results import absolute_root, counting, show, unique_rows
from kinograd.commands.settings import Out, Words, read_words
from kinograd.config.video import VideoConfig
from kinograd.curate.journal import Journal, digest_of
from kinograd.curate.near_duplicates import dedup
from kinograd.curate.selection import refuse_overwrite

Settings = MediaSettings


def run(words: Words, out: Out) -> None:
    """Remove rows that repeat an earlier row's question about the same or a similar clip."""
    files, settings = read_words(words, Settings, most=None)
    refuse_overwrite(out, *files)
    root = absolute_root(settings.media_root)
    options = {"verb": "dedup", "format": settings.format, "media_root": root}
    with (
        Journal(out.with_name(f"{out.name}.journal"), digest_of(files, options)) as journal,
        counting(files, "comparing") as advance,
    ):
        outcome = dedup(
            unique_rows(files, settings.format),
            out,
            journal,
            VideoConfig(),
            root,
            workers=settings.workers,
            backend=settings.backend,
            advance=advance,
        )
        journal.remove()
    show(out, outcome)
