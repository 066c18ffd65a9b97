"""Kinograd post-trains video language models to reason.

>>> import kinograd
>>> model = kinograd.load("runs/demo/reinforced")  # doctest: +SKIP
>>> print(model.ask("clip.mp4", "What happens after the ball falls?"))  # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pathlib import Path

    from kinograd.commands.ask import Model

__version__ = "0.1.0"


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
    """
    from kinograd.commands.ask import load as load_model  # torch, only now

    return load_model(path, device=device, dtype=dtype)
