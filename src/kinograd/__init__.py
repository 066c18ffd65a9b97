"""Kinograd post-trains video language models to reason.

>>> import kinograd
>>> model = kinograd.load("runs/demo/reinforced")  # doctest: +SKIP
>>> print(model.ask("clip.mp4", "What happens after the ball falls?"))  # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from kinograd._version import __version__

if TYPE_CHECKING:
    from kinograd.config.load import load_recipe
    from kinograd.eval.recipe import evaluate_checkpoint
    from kinograd.inference import Answer, Model, load
    from kinograd.policy import open_policy
    from kinograd.train.rl import train_rl
    from kinograd.train.sft import train_sft
    from kinograd.types import Cut, Example

__all__ = [
    "Answer",
    "Cut",
    "Example",
    "Model",
    "__version__",
    "evaluate_checkpoint",
    "load",
    "load_recipe",
    "open_policy",
    "train_rl",
    "train_sft",
]

_MODULES = {
    "Answer": "inference",
    "Cut": "types",
    "Example": "types",
    "Model": "inference",
    "evaluate_checkpoint": "eval.recipe",
    "load": "inference",
    "load_recipe": "config.load",
    "open_policy": "policy",
    "train_rl": "train.rl",
    "train_sft": "train.sft",
}


def __getattr__(name: str) -> Any:
    # torch takes seconds to import: only when a name that needs it is used
    if name not in _MODULES:
        raise AttributeError(f"module 'kinograd' has no attribute {name!r}")
    return getattr(import_module(f"kinograd.{_MODULES[name]}"), name)
