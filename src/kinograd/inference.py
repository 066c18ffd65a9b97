"""Public API to ask a model about a clip: ``load``, ``Model`` and ``Answer``.

The clip is decoded, sampled and patched by training's own reader; a checkpoint remembers
its sampling contract and prompt in ``kinograd.json``.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from kinograd.config.rollout import SamplingConfig
from kinograd.config.schema import EvalRecipe, ModelConfig, RunConfig
from kinograd.grading.extract import answer_span, think_span
from kinograd.models.prompt import Prompt
from kinograd.policy import load_contract, open_policy, open_reader
from kinograd.rollout.engine import Request
from kinograd.runs.layout import Layout
from kinograd.train import checkpoint
from kinograd.types import (
    ORDERED,
    Cut,
    Example,
    Kind,
    KinogradError,
    Media,
    MediaType,
    Span,
    StopReason,
    UsageError,
    View,
)
from kinograd.video.decode import clip_from_frames, clip_from_image
from kinograd.video.scale import Scaler

IMAGES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif"}


@dataclass(frozen=True)
class Answer:
    """A model's response to one question.

    Attributes:
        text: the response as it was generated.
        answer: the text inside its answer tags; None without them.
        reasoning: the text inside its think tags; None without them.
        complete: False if the response was cut off at ``max_new_tokens``.
    """

    text: str
    answer: str | None
    reasoning: str | None
    complete: bool

    def __str__(self) -> str:
        return self.text


class Model:
    """A model that answers questions about clips; ``kinograd.load`` makes one.

    Attributes:
        policy: the opened policy: weights, reader and engine.
        recipe: the settings that it was opened with.
    """

    def __init__(self, recipe: EvalRecipe) -> None:
        self.recipe = recipe
        self._opened = ExitStack()
        self.policy = self._opened.enter_context(open_policy(recipe))

    def close(self) -> None:
        """End the engine and whatever it started."""
        self._opened.close()

    def __enter__(self) -> Model:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(
        self,
        media: Any,
        question: str,
        *,
        options: Sequence[str] = (),
        fps: float = 2.0,
        view: View = ORDERED,
        max_new_tokens: int = 768,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> Answer:
        """Answer one question about a video or image.

        Args:
            media: a file, a ``Cut``, an image (PIL or uint8 (H, W, 3)), or decoded frames:
                an array (T, H, W, 3) or a list of images, ``fps`` of them a second and
                none left out; a list of one is an image.
            options: for multiple choice, for instance ``["A. up", "B. down"]``.
            view: how the clip is shown; ``shuffled``, ``reversed`` and ``blank`` test what
                an answer depends on.
            temperature: 0 takes the likeliest token each time.
            seed: of the sampling at temperatures above 0.

        Raises:
            ClipError: the clip cannot be decoded; the message names file and reason.
            PromptTooLong: the clip takes more tokens than ``prompt.max_tokens``.
        """
        kind = Kind.MULTIPLE_CHOICE if options else Kind.FREE_FORM
        example = Example("ask", kind, question, "", (), tuple(options))
        example, prompt = self._read(example, media, fps, view)
        sampling = SamplingConfig(max_new_tokens=max_new_tokens, temperature=temperature)
        requests = [Request(example, view, prompt, 1)]
        (group,) = self.policy.engine.generate(requests, sampling, key=(seed, "ask", question))
        (rollout,) = group.rollouts
        complete = rollout.stop is StopReason.END
        return Answer(rollout.text, answer_span(rollout.text), think_span(rollout.text), complete)

    def _read(self, example: Example, media: Any, fps: float, view: View) -> tuple[Example, Prompt]:
        """Give the example its medium; return it with its prompt."""
        if isinstance(media, str | Path | Cut):
            medium, root = _medium(media)
            example = replace(example, media=(medium,))
            # a reader for this question alone: the file may be another one at the next
            with open_reader(self.recipe, self.policy.model, root) as reader:
                return example, reader.read(example, view)
        reader = self.policy.reader
        spec = reader.store.spec
        scaler = Scaler(spec.resample, self.recipe.video.resize == "torch")
        one_image = hasattr(media, "convert") or getattr(media, "ndim", 4) == 3
        frames = [media] if one_image else media
        if len(frames) == 1:
            kind, clip = MediaType.IMAGE, clip_from_image(frames[0], spec, scaler)
        else:
            kind, clip = MediaType.VIDEO, clip_from_frames(frames, fps, spec, scaler)
        example = replace(example, media=(Media(kind, Cut(())),))
        return example, reader.read_clip(example, clip, view)


def _medium(media: str | Path | Cut) -> tuple[Media, Path]:
    """Return the medium with paths relative to a folder, and that folder.

    Raises:
        UsageError: a cut without any file.
    """
    if not isinstance(media, Cut):
        file = Path(media).expanduser().resolve()
        kind = MediaType.IMAGE if file.suffix.lower() in IMAGES else MediaType.VIDEO
        return Media(kind, Cut.whole(file.name)), file.parent
    if not media.paths:
        raise UsageError("a cut of nothing but black shows nothing to ask about")
    root = Path(Path(media.paths[0]).expanduser().resolve().anchor)
    segments = tuple(
        replace(s, path=str(Path(s.path).expanduser().resolve().relative_to(root)))
        if isinstance(s, Span)
        else s
        for s in media.segments
    )
    return Media(MediaType.VIDEO, Cut(segments)), root


def load(
    path: str | Path,
    *,
    device: str = "auto",
    dtype: Literal["float32", "bfloat16"] = "float32",
) -> Model:
    """Load a model to ask it questions about clips.

    Args:
        path: a run folder (its newest checkpoint), a checkpoint, or any transformers
            folder or hub name of a supported architecture.
        device: ``auto`` takes a GPU where there is one.
        dtype: compute type.

    Raises:
        UsageError: nothing to load there, or an unsupported architecture.
        KinogradError: the run folder holds no finished checkpoint, or its contract is damaged.
    """
    folder = Path(path)
    layout = Layout(folder)
    if layout.checkpoints.is_dir():
        newest = checkpoint.latest(layout.checkpoints)
        if newest is None:
            raise KinogradError(f"{folder} holds no complete checkpoint yet")
        folder = newest
    if (folder / "model").is_dir():
        folder = folder / "model"
    video, prompt = load_contract(folder)
    # decoded in this process: one clip needs no workers ahead of it, and no cache
    local = {"workers": 0, "cache_dir": None, "allow_urls": False}
    name = str(folder if folder.exists() else path)
    recipe = EvalRecipe(
        run=RunConfig(dir=name),
        model=ModelConfig(path=name, device=device, dtype=dtype),
        video=video.model_copy(update=local),
        prompt=prompt,
    )
    return Model(recipe)
