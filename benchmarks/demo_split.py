"""Where the demo's training time goes: share of each stage by kind of work.

    python benchmarks/demo_split.py [--out benchmarks/results/demo_split.json]

Runs the demo's recipe with fewer steps and no controls. Every second belongs to exactly one
kind of work: a call inside another one takes its time away from that one. Clips are decoded
by a process of its own, so "read" is what the loop waits for and what it does itself
(patches, tokens). The loss is fused into the head: the head's own backward pass counts as
forward.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Any

import torch

from kinograd.config.load import load_recipe, packaged_recipe
from kinograd.models.prefix import PrefixLM
from kinograd.models.reader import Reader
from kinograd.rollout.in_process import InProcessEngine
from kinograd.runs.folder import RunFolder
from kinograd.synthetic.demo import run as demo
from kinograd.train import learner, session
from kinograd.train.learner import Learner
from kinograd.train.session import Session

STEPS = {"worked": 100, "cold_start": 40, "reinforced": 24}
WORK: list[tuple[Any, str, str]] = [
    (Reader, "read_many", "read"),
    (PrefixLM, "media_features", "tower"),
    (PrefixLM, "prefix", "forward"),
    (PrefixLM, "loss", "forward"),
    (PrefixLM, "logprobs", "forward"),
    (torch.Tensor, "backward", "backward"),
    (learner, "backward_prefix", "backward"),
    (Learner, "step", "optimizer"),
    (InProcessEngine, "generate", "generate"),
    (session, "score_groups", "reward"),
    (Session, "save", "disk"),
    (Session, "keep_rollouts", "disk"),
    (RunFolder, "log", "disk"),
]


class Clock:
    """Adds up exclusive seconds by kind of work."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._stack = ["other"]
        self._last = time.perf_counter()

    def _book(self) -> None:
        now = time.perf_counter()
        self.seconds[self._stack[-1]] += now - self._last
        self._last = now

    def timed(self, function: Callable[..., Any], kind: str) -> Callable[..., Any]:
        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            self._book()
            # the prompt's forward pass while generating is generation; its tower is not
            inside = self._stack[-1]
            self._stack.append("generate" if inside == "generate" and kind == "forward" else kind)
            try:
                return function(*args, **kwargs)
            finally:
                self._book()
                self._stack.pop()

        return call

    def take(self) -> dict[str, float]:
        """Seconds since the last call."""
        self._book()
        out, self.seconds = dict(self.seconds), defaultdict(float)
        return out


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    here = Path(__file__).parent
    parser.add_argument("--out", type=Path, default=here / "results/demo_split.json")
    out: Path = parser.parse_args().out
    clock = Clock()
    for owner, name, kind in WORK:
        setattr(owner, name, clock.timed(getattr(owner, name), kind))
    steps = [
        f"stages.{name}.{'rl' if name == 'reinforced' else 'sft'}.steps={n}"
        for name, n in STEPS.items()
    ]
    shares: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        overrides = [f"dir={folder}", "controls=null", "synthetic.splits.held_out=60", *steps]
        recipe = load_recipe([packaged_recipe("demo/demo.yaml")], overrides, method="demo")
        train = demo.train

        def one_stage(recipe: Any, name: str, sections: Any, model: Path) -> Path:
            clock.take()
            made = train(recipe, name, sections, model)
            seconds = clock.take()
            total = sum(seconds.values())
            shares[name] = {k: round(v / total, 4) for k, v in sorted(seconds.items())}
            shares[name]["seconds_per_step"] = round(total / STEPS[name], 4)
            return made

        demo.train = one_stage
        demo.run_demo(recipe)
    machine = (
        f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, "
        f"torch {torch.__version__}, Python {platform.python_version()}"
    )
    result = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine,
        "load": round(os.getloadavg()[0], 2),
        "steps": STEPS,
        "share": shares,
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(shares, indent=1))


if __name__ == "__main__":
    main()
