"""Settings of the verbs that open clips: where they lie, how they are read, by how many."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypeVar

from kinograd.commands import read_recipe
from kinograd.commands.settings import check_inputs, read_settings, split_words
from kinograd.config.data_formats import DataFormat
from kinograd.config.video import VideoConfig
from kinograd.section import Positive, Section


class MediaSettings(Section):
    """Settings of verbs that find media."""

    format: DataFormat = "auto"
    """Format of the inputs."""
    media_root: str | None = None
    """Folder under which media lie; null leaves them unopened."""
    workers: Positive = 1
    """Number of processes that open clips."""
    backend: Literal["local", "ray"] = "local"
    """Backend of these processes."""


class ClipSettings(MediaSettings):
    """Settings of verbs that decode clips."""

    video: VideoConfig = VideoConfig()
    """Sampling and limits of clips; over those of a recipe among the inputs."""


C = TypeVar("C", bound=ClipSettings)


def read_clip_words(words: Sequence[str], section: type[C]) -> tuple[list[str], C, int]:
    """Return data files, settings and the size factor of frames.

    A recipe among the words gives ``video`` and, by its model, the size factor (else 28).
    """
    files, recipes, settings = split_words(words)
    check_inputs(files, 1, None)
    if not recipes:
        chosen, factor = read_settings(section, settings), VideoConfig().spec().size_factor
    else:
        recipe = read_recipe(recipes)
        given = {"video": recipe.video.model_dump(mode="json")}
        chosen, factor = read_settings(section, settings, given), size_factor(recipe.model.path)
    folder = chosen.video.cache_dir
    absolute = None if folder is None else str(Path(folder).resolve())  # workers run elsewhere
    video = chosen.video.model_copy(update={"cache_dir": absolute})
    return files, chosen.model_copy(update={"video": video}), factor


def size_factor(path: str) -> int:
    """Return the patch grid of a checkpoint, in pixels; no weights are read."""
    # torch is loaded for recipes that name a model, and for no other command line
    from kinograd.models.load import read_geometry

    return read_geometry(path).size_factor
