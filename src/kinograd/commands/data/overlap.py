"""``kinograd data overlap``: evaluation data that occurs in training data."""

from __future__ import annotations

import json
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from kinograd.commands.data.clips import MediaSettings
from kinograd.commands.data.results import SHOWN, absolute_root, counting, unique_rows
from kinograd.commands.settings import Words, read_words
from kinograd.config.video import VideoConfig
from kinograd.curate.contamination import overlap
from kinograd.curate.journal import Journal, digest_of
from kinograd.files import atomic_text

Settings = MediaSettings


def run(
    words: Words,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="JSONL file of all that is shared.")
    ] = None,
) -> None:
    """Find source files, similar clips and questions of an evaluation file in a training file.

    The inputs are the training file and the evaluation file, in this order. The exit status is
    1 if they share something.
    """
    files, settings = read_words(words, Settings, least=2, most=2)
    evaluation = Path(files[1])
    root = absolute_root(settings.media_root)
    options = {"verb": "overlap", "format": settings.format, "media_root": root}
    path = evaluation.with_name(f"{evaluation.name}.overlap.journal")
    with (
        Journal(path, digest_of(files, options)) as journal,
        counting(files, "comparing") as advance,
    ):
        found = overlap(
            partial(unique_rows, files[:1], settings.format),
            partial(unique_rows, files[1:], settings.format),
            journal,
            VideoConfig(),
            root,
            workers=settings.workers,
            backend=settings.backend,
            advance=advance,
        )
        journal.remove()
    for shared in found.shared[:SHOWN]:
        print(f"{shared.eval} and {shared.train} share the {shared.by}: {shared.what}")
    for where, fault in found.unread[:SHOWN]:
        print(f"{where} could not be compared: {fault}")
    counts = Counter(shared.by for shared in found.shared)
    print(", ".join(f"{counts[by]} by {by}" for by in ("file", "clip", "question")), "shared")
    if out is not None:
        lines = (json.dumps(s.to_json(), ensure_ascii=False) + "\n" for s in found.shared)
        atomic_text(out, "".join(lines))
    if found.shared:
        raise typer.Exit(1)
