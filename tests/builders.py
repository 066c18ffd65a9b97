"""Builders of what the tests need most: examples, rollouts, scores, groups, clips, prompts.

Every argument has a default, so that a test names only what it is about. All values are
deterministic. ``kinograd.models`` is imported on use: most tests need no torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kinograd.types import (
    ORDERED,
    Clip,
    Cut,
    Example,
    Group,
    Kind,
    Media,
    MediaType,
    Rollout,
    Score,
    StopReason,
    Unscored,
    View,
)

if TYPE_CHECKING:
    from kinograd.models.prompt import Prompt


def video(path: str = "a.mp4") -> Media:
    """A video medium that plays one whole file."""
    return Media(MediaType.VIDEO, Cut.whole(path))


def image(path: str = "a.png") -> Media:
    """An image medium."""
    return Media(MediaType.IMAGE, Cut.whole(path))


def example(
    id: str = "e",
    kind: Kind = Kind.FREE_FORM,
    question: str = "?",
    answer: str = "x",
    media: Sequence[Media] = (),
    options: Sequence[str] = (),
    **rest: Any,
) -> Example:
    """An Example; without media unless some are given. ``rest`` goes to ``Example``."""
    return Example(id, kind, question, answer, tuple(media), tuple(options), **rest)


def rollout(
    text: str = "", length: int = 1, stop: StopReason = StopReason.END, logprob: float = 0.0
) -> Rollout:
    """A Rollout of ``length`` tokens 0, 1, 2, …, each sampled with ``logprob``."""
    return Rollout(np.arange(length), np.full(length, logprob, np.float32), text, stop)


def score(accuracy: float | None, form: float = 1.0, threshold: float = 0.5) -> Score:
    """The Score of accuracy + format, or an unscored one for None."""
    if accuracy is None:
        return Score.none(Unscored.JUDGE_TIMEOUT)
    parts = {"accuracy": accuracy, "format": form}
    return Score(accuracy + form, parts, correct=accuracy > threshold)


def group(
    rollouts: Sequence[Rollout],
    scores: Sequence[Score] = (),
    *,
    of: Example | None = None,
    view: View = ORDERED,
    twin: Group | None = None,
) -> Group:
    """A Group of given rollouts, graded if scores are given."""
    return Group(of or example(), view, tuple(rollouts), tuple(scores), twin)


def scored_group(
    accuracies: Sequence[float | None],
    formats: Sequence[float] | None = None,
    *,
    texts: Sequence[str] | None = None,
    lengths: Sequence[int] | None = None,
    threshold: float = 0.5,
    kind: Kind = Kind.FREE_FORM,
    extra: Mapping[str, Any] | None = None,
    twin: Group | None = None,
) -> Group:
    """A graded Group on one video; its rewards are accuracy + format, None is unscored."""
    n = len(accuracies)
    rollouts = [rollout(t, k) for t, k in zip(texts or [""] * n, lengths or [1] * n, strict=True)]
    pairs = zip(accuracies, formats or [1.0] * n, strict=True)
    scores = [score(a, f, threshold) for a, f in pairs]
    asked = example(kind=kind, media=(video(),), extra=extra or {})
    return group(rollouts, scores, of=asked, twin=twin)


def clip(frames: np.ndarray, native_fps: float = 2.0) -> Clip:
    """A Clip of uint8 frames (T, C, H, W), sampled at two frames per second."""
    n = len(frames)
    return Clip(frames, np.arange(n) / 2.0, native_fps, 2.0, n / 2)


def noise(
    frames: int = 4, height: int = 56, width: int = 56, seed: int | np.random.Generator = 0
) -> np.ndarray:
    """uint8 (T, 3, H, W): random pixels."""
    rng = np.random.default_rng(seed)  # a Generator comes back as it is
    return rng.integers(0, 256, (frames, 3, height, width)).astype(np.uint8)


def grey_levels(frames: int, height: int = 56, width: int = 56) -> np.ndarray:
    """uint8 (T, 3, H, W): uniform frames, from black to white."""
    levels = np.linspace(0, 255, frames).astype(np.uint8)
    return np.broadcast_to(levels[:, None, None, None], (frames, 3, height, width)).copy()


def text_prompt(token_ids: Sequence[int] = (0,)) -> Prompt:
    """A Prompt of text alone, its positions counted from 0."""
    from kinograd.models.prompt import Prompt

    ids = np.array(token_ids, np.int64)
    positions = np.tile(np.arange(len(ids)), (3, 1))
    return Prompt(ids, positions, np.zeros(len(ids), bool), ())
