"""Policies ready to answer: model, readers of clips, and engine, opened in one place.

Training, evaluation, filtering, rejection sampling and the Python API all start here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from kinograd.config.schema import EvalRecipe, PromptConfig, RlRecipe, SftRecipe
from kinograd.config.video import VideoConfig
from kinograd.models.load import VideoLM, load
from kinograd.models.reader import Reader
from kinograd.rollout.engine import Engine, open_engine
from kinograd.types import KinogradError
from kinograd.video.clip_store import ClipStore

CONTRACT = "kinograd.json"
"""File beside saved weights: how the model was trained to read clips and questions."""


@dataclass(frozen=True)
class Policy:
    """An opened policy; ``open_policy`` makes one.

    Attributes:
        model: the loaded model; a learner trains its weights in place.
        engine: samples rollouts; ``engine.sync`` tells it that the weights have changed.
        reader: reads examples whose media lie under ``data.media_root``.
        held_out_reader: reads examples of evaluations, under ``eval.media_root``; the same
            object where the recipe names no other folder.
    """

    model: VideoLM
    engine: Engine
    reader: Reader
    held_out_reader: Reader


@contextmanager
def open_policy(recipe: SftRecipe | RlRecipe | EvalRecipe) -> Iterator[Policy]:
    """Load the recipe's model with readers and engine; close them at the end.

    Raises:
        UsageError: there is no such model or device.
    """
    model = load(recipe.model)
    with ExitStack() as opened:
        reader = opened.enter_context(open_reader(recipe, model, recipe.data.media_root))
        held_out_reader = reader
        if recipe.eval.media_root is not None:
            other = open_reader(recipe, model, recipe.eval.media_root)
            held_out_reader = opened.enter_context(other)
        engine = opened.enter_context(closing(open_engine(model, recipe.rollout)))
        yield Policy(model, engine, reader, held_out_reader)


@contextmanager
def open_reader(
    recipe: SftRecipe | RlRecipe | EvalRecipe, model: VideoLM, media_root: str | Path
) -> Iterator[Reader]:
    """Open a reader of media under ``media_root`` by the recipe's contract; end its workers."""
    with ClipStore(recipe.video, media_root, model.geometry.size_factor) as store:
        yield Reader(model, store, recipe.prompt, recipe.run.seed)


def save_contract(folder: Path, recipe: SftRecipe | RlRecipe) -> None:
    """Write beside saved weights how they were trained to read clips and questions."""
    contract = {
        "video": recipe.video.model_dump(mode="json", exclude_defaults=True),
        "prompt": recipe.prompt.model_dump(mode="json", exclude_defaults=True),
    }
    (folder / CONTRACT).write_text(json.dumps(contract, indent=1), encoding="utf-8")


def load_contract(folder: Path) -> tuple[VideoConfig, PromptConfig]:
    """Read what ``save_contract`` wrote; the defaults of evaluations where there is none.

    Raises:
        KinogradError: the file is damaged.
    """
    file = folder / CONTRACT
    try:
        saved = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        video = VideoConfig(**saved.get("video", {"preset": "video_r1_eval_16"}))
        return video, PromptConfig(**saved.get("prompt", {}))
    except (ValueError, TypeError, AttributeError) as error:  # pydantic's is a ValueError
        reason = str(error).splitlines()[0]
        raise KinogradError(f"{file} cannot be read: {reason}; delete it to use defaults") from None
