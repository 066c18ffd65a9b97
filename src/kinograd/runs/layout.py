"""Layout of a run folder, shared by its writer and by the report.

A run folder holds::

    recipe.yaml              the resolved recipe; a run resumes only with the same one
    env.json                 versions, commit, devices and data digests of every start
    metrics.jsonl            one object per logged step
    rollouts/step-N.jsonl    every rollout of a logged step, with its score
    strips/*.jpg             the frames that those rollouts saw
    quarantine.jsonl         examples that were left out, and why
    checkpoints/step-N/      state after step N, with a folder model/ that transformers loads
    eval/NAME.jsonl          one record per answer of an evaluation
    .lock                    held by the process that writes

Steps count finished updates: step 0 is before training.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kinograd.types import DataError

_STEP = re.compile(r"step-(\d+)(\.jsonl)?")


@dataclass(frozen=True)
class Layout:
    """Paths of one run folder; none of them need exist."""

    root: Path

    @property
    def recipe(self) -> Path:
        return self.root / "recipe.yaml"

    @property
    def environment(self) -> Path:
        return self.root / "env.json"

    @property
    def metrics(self) -> Path:
        return self.root / "metrics.jsonl"

    @property
    def quarantine(self) -> Path:
        return self.root / "quarantine.jsonl"

    @property
    def strips(self) -> Path:
        return self.root / "strips"

    @property
    def checkpoints(self) -> Path:
        return self.root / "checkpoints"

    @property
    def lock(self) -> Path:
        return self.root / ".lock"

    def rollouts(self, step: int) -> Path:
        """Return the file of one step's rollouts."""
        return self.root / "rollouts" / f"step-{step}.jsonl"

    def rollout_files(self) -> dict[int, Path]:
        """Files of rollouts by their step, in order."""
        return steps_in(self.root / "rollouts")

    def evaluation(self, name: str | int) -> Path:
        """Return the file of an evaluation, by its data file's stem or by its training step."""
        stem = f"step-{name}" if isinstance(name, int) else name
        return self.root / "eval" / f"{stem}.jsonl"

    def evaluation_files(self) -> list[Path]:
        """Files of evaluations, step-20 before step-100."""
        return sorted((self.root / "eval").glob("*.jsonl"), key=lambda f: _natural(f.stem))

    def model(self, step: int) -> Path:
        """Return the model folder of a checkpoint."""
        return self.checkpoints / f"step-{step}" / "model"

    def read_starts(self) -> list[dict[str, Any]]:
        """Read the environment at each start of the run; an empty list before the first.

        Raises:
            DataError: the file is damaged.
        """
        if not self.environment.exists():
            return []
        try:
            starts = json.loads(self.environment.read_bytes())["starts"]
            if all(isinstance(start["data"], dict) for start in starts):
                return starts
            reason = "has a start without digests of its data"
        except ValueError as error:
            reason = f"is not JSON ({error})"
        except (KeyError, TypeError):
            reason = "holds no list of starts"
        raise DataError(f"{self.environment} {reason}; the file is damaged")


def steps_in(folder: Path) -> dict[int, Path]:
    """Entries of a folder named ``step-N`` or ``step-N.jsonl``, by N in ascending order."""
    found = {int(m[1]): p for p in folder.glob("step-*") if (m := _STEP.fullmatch(p.name))}
    return dict(sorted(found.items()))


def _natural(text: str) -> list[tuple[int, str]]:
    """Sort key that compares runs of digits as numbers."""
    parts = re.findall(r"\d+|\D+", text)
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]
