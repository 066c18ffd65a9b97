"""A run that was cut off goes on as if nothing had happened, bit for bit.

Here the loop is stopped inside one process, at every kind of place; tests/slow kills
real processes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from kinograd import files
from kinograd.train import checkpoint
from kinograd.train.rl import train_rl
from kinograd.train.session import Session
from kinograd.train.sft import train_sft

Recipe = Callable[..., Any]
TIMES = ("time", "video/wait_s")
LORA = {"rank": 4, "targets": ["q_proj", "down_proj"], "dropout": 0.2}


class Cut(BaseException):
    """Stands for the death of the process."""


def result(run: Path) -> dict[str, Any]:
    """What a run left behind, without what tells the time."""
    found: dict[str, Any] = {}
    newest = checkpoint.latest(run / "checkpoints")
    assert newest is not None
    tensors, found["state"] = checkpoint.load(newest)
    for group, named in tensors.items():
        for name, tensor in named.items():
            found[f"{group} {name}"] = tensor
    found["metrics"] = [
        {k: v for k, v in row.items() if not k.startswith(TIMES)}
        for row in files.read_records(run / "metrics.jsonl")
    ]
    for kind in ("rollouts/*.jsonl", "strips/*.jpg", "eval/*.jsonl", "quarantine.jsonl"):
        for path in run.glob(kind):
            found[str(path.relative_to(run))] = path.read_bytes()
    found["model"] = (newest / "model" / "model.safetensors").read_bytes()
    return found


def assert_equal(a: dict[str, Any], b: dict[str, Any]) -> None:
    assert a.keys() == b.keys()
    for key, value in a.items():
        same = torch.equal(value, b[key]) if isinstance(value, torch.Tensor) else value == b[key]
        assert same, key


PLACES = ("before logging", "before saving", "while saving", "after saving")


@contextmanager
def cut_off(place: str, at: int) -> Iterator[None]:
    """Have a run cut off at one place of step ``at``."""
    end_step, save, writer = Session.end_step, checkpoint.save, Session._write_model

    def before_logging(self: Session, step: int, total: int, metrics: Any) -> None:
        if step == at:
            raise Cut
        end_step(self, step, total, metrics)

    def before_saving(folder: Path, step: int, *rest: Any, **options: Any) -> Path:
        if step == at:
            raise Cut
        return save(folder, step, *rest, **options)

    def while_saving(self: Session, folder: Path) -> None:
        writer(self, folder)
        if folder.parent.name.endswith(f"step-{at}"):
            raise Cut

    def after_saving(folder: Path, step: int, *rest: Any, **options: Any) -> Path:
        path = save(folder, step, *rest, **options)
        if step == at:
            raise Cut
        return path

    patches: dict[str, tuple[Any, str, Callable[..., Any]]] = {
        "before logging": (Session, "end_step", before_logging),
        "before saving": (checkpoint, "save", before_saving),
        "while saving": (Session, "_write_model", while_saving),
        "after saving": (checkpoint, "save", after_saving),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(*patches[place])
        with pytest.raises(Cut):
            yield


RUNS: dict[str, tuple[str, dict[str, Any]]] = {
    "sft, tower and all": ("sft", {"model": {"train_vision": True}}),
    "sft, frozen tower, clips that come back": ("sft", {"sft": {"batch_size": 5}}),
    "sft, adapter with dropout, evaluation": (
        "sft",
        {"model": {"lora": LORA}, "run": {"eval_every": 1}},
    ),
    "rl, frozen tower, clips that come back": (
        "rl",
        {"algo": {"type": "t_grpo", "kl": {"beta": 0.05}}, "rl": {"prompts_per_step": 5}},
    ),
    "rl, passes over minibatches, adapter with dropout": (
        "rl",
        {"algo": {"epochs": 2, "minibatches": 2, "kl": {"beta": 0.05}}, "model": {"lora": LORA}},
    ),
    "rl, moving reference, saved every other step": (
        "rl",
        {
            "rl": {"reference": "ema", "ema_decay": 0.5, "ema_every": 1},
            "algo": {"kl": {"beta": 0.5}},
            "run": {"save_every": 2},
        },
    ),
}


@pytest.mark.parametrize("name", RUNS)
def test_a_run_that_was_cut_off_ends_the_same(
    recipe: Recipe,
    world: Path,
    varied: dict[str, Any],
    tmp_path: Path,
    name: str,
) -> None:
    method, over = RUNS[name]
    few = tmp_path / "few.jsonl"  # seven clips: every step shows some of the step before
    few.write_text("".join((world / "train.jsonl").open().readlines()[:7]))
    held_out = {
        "data": [str(world / "held_out.jsonl")],
        "limit": 3,
        "sampling": {"max_new_tokens": 4, "temperature": 0.0},
    }
    train = {"sft": train_sft, "rl": train_rl}[method]
    shared = {"data": {"train": [str(few)]}, method: {"steps": 3}, "eval": held_out}

    def config(folder: str) -> Any:
        layers = [varied] if method == "rl" else []
        return recipe(method, *layers, shared, over, {"run": {"dir": str(tmp_path / folder)}})

    train(config("whole"))
    expected = result(tmp_path / "whole")
    for place in PLACES[list(RUNS).index(name) % 2 :: 2]:  # every place for both methods
        with cut_off(place, at=2):
            train(config(place))
        train(config(place))
        assert_equal(result(tmp_path / place), expected)
        starts = json.loads((tmp_path / place / "env.json").read_text())["starts"]
        assert len(starts) == 2
