"""Numbers to an experiment tracker, beside the run folder, when a recipe names one.

The run folder stays the record: a tracker gets a copy of each logged step.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kinograd.types import UsageError

PROJECT = "kinograd"


class Trackers:
    """Trackers of one run; a resumed run continues under its name.

    Args:
        names: ``trackio`` or ``wandb``, installed as extras of the same name.
        folder: the run folder; its name is the run's.
        recipe: the resolved recipe, kept as the run's configuration.

    Raises:
        UsageError: a tracker is not installed.
    """

    def __init__(self, names: Sequence[str], folder: Path, recipe: Mapping[str, Any]) -> None:
        self._modules: list[Any] = []
        for name in names:
            try:
                module = importlib.import_module(name)
            except ModuleNotFoundError:
                raise UsageError(
                    f"run.trackers: {name} is not installed; pip install 'kinograd[{name}]'"
                ) from None
            options: dict[str, Any] = {"resume": "allow"}
            if name == "wandb":
                options |= {"dir": str(folder), "id": folder.name}
            module.init(project=PROJECT, name=folder.name, config=dict(recipe), **options)
            self._modules.append(module)

    def log(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Send one step's numbers; what is null is left out."""
        values = {k: v for k, v in metrics.items() if v is not None}
        for module in self._modules:
            module.log(values, step=step)

    def close(self) -> None:
        for module in self._modules:
            module.finish()
