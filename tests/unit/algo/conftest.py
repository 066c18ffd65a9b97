"""Scored groups without a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from kinograd.types import (
    ORDERED,
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
)

MakeGroup = Callable[..., Group]


@pytest.fixture
def make_group() -> MakeGroup:
    def make(
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
        """A group on a video; None is an unscored rollout. The reward is accuracy + format."""
        n = len(accuracies)
        formats = [1.0] * n if formats is None else formats
        texts = [""] * n if texts is None else texts
        lengths = [1] * n if lengths is None else lengths
        rollouts = tuple(
            Rollout(np.zeros(k, np.int64), np.zeros(k, np.float32), text, StopReason.END)
            for k, text in zip(lengths, texts, strict=True)
        )
        scores = tuple(
            Score.none(Unscored.JUDGE_TIMEOUT)
            if a is None
            else Score(a + f, {"accuracy": a, "format": f}, correct=a > threshold)
            for a, f in zip(accuracies, formats, strict=True)
        )
        media = (Media(MediaType.VIDEO, Cut.whole("a.mp4")),)
        example = Example("e", kind, "?", "x", media, extra=extra or {})
        return Group(example, ORDERED, rollouts, scores, twin)

    return make
