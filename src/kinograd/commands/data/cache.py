"""``kinograd data cache``: decoded clips on disk."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from kinograd.commands import RecipeArguments, read_recipe
from kinograd.commands.data.clips import size_factor
from kinograd.commands.data.results import SHOWN
from kinograd.commands.settings import divide_settings, read_settings, split_words
from kinograd.config.schema import RlRecipe
from kinograd.config.video import VideoConfig
from kinograd.curate.prefetch_cache import warm as fill
from kinograd.datasets.load import load_examples
from kinograd.progress import progress
from kinograd.section import Section
from kinograd.types import KinogradError, UsageError
from kinograd.video.decoder import open_cache
from kinograd.video.disk import DiskCache

app = typer.Typer(no_args_is_help=True, help="Decoded clips on disk: stats, clear, warm.")


class Settings(Section):
    """Settings of ``data cache warm``."""

    backend: Literal["local", "ray"] = "local"
    """Backend of the decoder processes; video.workers is their number."""


@app.command()
def stats(recipe: RecipeArguments) -> None:
    """Print how many clips a recipe's cache holds, and how old the oldest is."""
    store, config = _cache(read_recipe(recipe).video)
    found = store.stats()
    size = f"{found.bytes / 1e9:.3f} GB of {config.cache_gb:g} GB"
    age = "" if found.oldest_s is None else f", the oldest used {found.oldest_s / 3600:.1f} h ago"
    print(f"{config.cache_dir}: {found.clips} clips, {size}{age}")


@app.command()
def clear(recipe: RecipeArguments) -> None:
    """Delete all decoded clips of a recipe's cache."""
    store, config = _cache(read_recipe(recipe).video)
    before = store.clear()
    print(f"{config.cache_dir}: deleted {before.clips} clips, {before.bytes / 1e9:.3f} GB")


@app.command()
def warm(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="RECIPE... [KEY=VALUE...]",
            help="Recipe files and overrides; backend=ray decodes on a Ray cluster.",
        ),
    ],
) -> None:
    """Decode every clip of a recipe's data ahead of the run."""
    inputs, recipes, given = split_words(words)
    own, overrides = divide_settings(Settings, given, RlRecipe)
    settings = read_settings(Settings, own)
    resolved = read_recipe([*recipes, *inputs, *overrides])
    _, config = _cache(resolved.video)
    total_failed = 0
    for media_root, files, form in _sources(resolved):
        media = [m for e in load_examples(files, form)[0] for m in e.media]
        grid = size_factor(resolved.model.path)
        with progress(len(set(media)), "warming") as bar:
            report = fill(
                config, media_root, grid, media, backend=settings.backend, advance=bar.advance
            )
        print(f"{', '.join(files)}: {report.clips} clips cached, {report.decoded} of them new")
        for error in report.failed[:SHOWN]:
            print(f"  {error}")
        for fault, count in report.by_fault.items():
            print(f"  {count} failed: {fault.value}")
        total_failed += len(report.failed)
    if total_failed:
        raise KinogradError(f"{total_failed} clips cannot be decoded; see above")


def _cache(config: VideoConfig) -> tuple[DiskCache, VideoConfig]:
    found = open_cache(config)
    if found is None:
        raise UsageError("the recipe keeps no clips on disk; add video.cache_dir=FOLDER")
    return found, config


def _sources(recipe: Any) -> list[tuple[str, list[str], str]]:
    """Return (media root, data files, their format) of training and of evaluation."""
    data, asked = recipe.data, recipe.eval
    groups = [
        (data.media_root, data.train, data.format),
        (asked.media_root or data.media_root, asked.data, asked.format or data.format),
    ]
    return [(root, list(files), form) for root, files, form in groups if files]
