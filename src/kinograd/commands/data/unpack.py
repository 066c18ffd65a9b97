"""``kinograd data unpack``: published archives, extracted in place."""

from __future__ import annotations

from pathlib import Path

from kinograd.commands.data.results import SHOWN
from kinograd.commands.settings import Words, read_words
from kinograd.config.data_formats import DataFormat
from kinograd.curate.unpack import archives, missing, unpack
from kinograd.datasets.load import read_rows
from kinograd.progress import progress
from kinograd.section import Section
from kinograd.types import KinogradError


class Settings(Section):
    """Settings of ``data unpack``."""

    format: DataFormat = "auto"
    """Format of the data files."""


def run(words: Words) -> None:
    """Extract the zip archives of a folder; list media of data files that are missing.

    The first input is the folder. Others are data files whose media must lie in it.
    """
    (first, *files), settings = read_words(words, Settings, most=None)
    folder = Path(first)
    total = sum(a.stat().st_size for a in archives(folder)) if folder.is_dir() else 0
    with progress(max(1, total >> 20), "unpacking (MiB)") as bar:
        results = unpack(folder, lambda size: bar.advance(size >> 20))
    for one in results:
        print(f"{one.archive}: {one.written} files extracted, {one.there} were there")
        for name in one.refused[:SHOWN]:
            print(f"  refused, leads out of the folder or is a link: {name!r}")
        for name in one.kept[:SHOWN]:
            print(f"  not extracted, would replace another file: {name!r}")
        if one.fault:
            print(f"  {one.fault}")
    absent = 0
    for file in files:
        for path in missing(folder, read_rows(file, settings.format)):
            absent += 1
            if absent <= SHOWN:
                print(f"missing: {path}")
    if faults := sum(one.fault is not None for one in results):
        raise KinogradError(f"{faults} archives could not be read to their end; see above")
    if kept := sum(len(one.kept) for one in results):
        raise KinogradError(
            f"{kept} members would replace files that are there; move those away to extract them"
        )
    if absent:
        raise KinogradError(f"{absent} media files are missing under {folder}")
