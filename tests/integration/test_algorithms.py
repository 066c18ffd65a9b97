"""Every algorithm through the loop on real clips, and what they remember across a restart."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from kinograd import files
from kinograd.algo.registry import ALGORITHMS
from kinograd.train import checkpoint
from kinograd.train.rl import train_rl

Recipe = Callable[..., Any]

# Settings beside the type with which every part of a method runs within two steps, and a
# metric that shows that it did. A method that is not listed runs with its defaults.
PARTS: dict[str, tuple[dict[str, Any], str]] = {
    "grpo": ({"advantage": "batch_std"}, "policy/entropy"),
    "dr_grpo": ({"kl": {"beta": 0.1, "estimator": "k2"}}, "policy/kl"),
    "rloo": ({"kl": {"beta": 0.5}}, "optim/grad_norm"),
    "dapo": ({"dynamic": {"max_tries": 2}}, "optim/grad_norm"),
    "reinforce_pp": ({"baseline": True, "kl": {"beta": 0.5}}, "optim/grad_norm"),
    "gspo": ({"minibatches": 2}, "policy/clip_fraction"),
    "gspo_token": ({"epochs": 2, "minibatches": 1}, "policy/clip_fraction"),
    "cispo": ({"old": "learner", "epochs": 2}, "policy/clip_fraction"),
    "sapo": ({"epochs": 2, "kl": {"beta": 0.1, "unbiased": True}}, "policy/kl"),
    "ema_grpo": ({"dynamic": None}, "ema/std_free_form"),
    "gdpo": ({"weights": {"accuracy": 1.0, "overlong": 0.5}}, "reward/overlong"),
    "t_grpo": ({"gate": "test", "bonus_on": "advantage"}, "temporal/p_value"),
    "video_r1": ({}, "temporal/effective_change"),
    "open_r1_video": ({}, "policy/kl"),
    "vidbridge": ({"old": "learner", "correction": {"high": 2.0}}, "correction/mean"),
    "video_ktr": ({"entropy": 0.1, "visual": 0.1, "temporal": 0.1}, "key_tokens/share"),
    "relation": ({"label": "dynamic"}, "relation/dynamic"),
}


@pytest.fixture
def labelled(world: Path, tmp_path: Path) -> dict[str, Any]:
    """The clips with a label that says whether reversing changes the answer."""
    rows = [json.loads(line) for line in (world / "train.jsonl").open()]
    for row in rows:
        row["extra"]["dynamic"] = row["extra"]["family"] != "colour"
    path = tmp_path / "labelled.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {"data": {"train": [str(path)]}}


@pytest.mark.parametrize("name", ALGORITHMS)
def test_an_algorithm_trains(
    recipe: Recipe, varied: dict[str, Any], labelled: dict[str, Any], name: str
) -> None:
    over, metric = PARTS.get(name, ({}, "optim/grad_norm"))
    # GDPO needs a second reward; MaxRL needs rewards that are not negative, as penalties are.
    reward = {"overlong": {"max_tokens": 10, "cache": 9}} if name == "gdpo" else {}
    sections = {"algo": {"type": name, **over}, "reward": reward}
    config = recipe("rl", varied, labelled, sections)
    train_rl(config)
    rows = files.read_records(Path(config.run.dir) / "metrics.jsonl")
    assert len(rows) == 2
    for row in rows:
        assert "nonfinite" not in row
    assert any(row.get("optim/grad_norm", 0) > 0 for row in rows)
    assert any(metric in row for row in rows)
    if name == "video_ktr":  # a union of three tenths, and ties: first tokens share their context
        assert all(0.1 <= row["key_tokens/share"] < 0.7 for row in rows)
    if name == "vidbridge":  # one process, one arithmetic: nothing to correct
        assert all(row["correction/mean"] == pytest.approx(1, abs=1e-3) for row in rows)


def test_dynamic_sampling_draws_on_and_counts(recipe: Recipe, varied: dict[str, Any]) -> None:
    algo = {"type": "dapo", "dynamic": {"max_tries": 3, "keep": "correct"}}
    config = recipe("rl", varied, {"rl": {"prompts_per_step": 4, "group_size": 2}, "algo": algo})
    train_rl(config)
    run = Path(config.run.dir)
    drawn = 0
    for row in files.read_records(run / "metrics.jsonl"):
        tries = row.get("sampling/tries", 1.0)
        drawn += tries
        kept = files.read_records(run / "rollouts" / f"step-{row['step']}.jsonl")
        taught = {r["group"] for r in kept if r["advantage"] is not None}
        left = {r["group"] for r in kept if r["advantage"] is None}
        assert len(taught) + len(left) == 4 * tries == row["rollouts"] / 2
        assert len(left) == row.get("sampling/dropped_groups", 0)
        assert len(taught) == 4 or tries == 3
        for group in taught:  # one right, one wrong
            assert {r["correct"] for r in kept if r["group"] == group} == {True, False}
    assert drawn > 2
    _, state = checkpoint.load(run / "checkpoints" / "step-2")
    assert state["drawn"] == drawn


def test_state_and_reference_go_on_exactly(
    recipe: Recipe, varied: dict[str, Any], tmp_path: Path
) -> None:
    """EMA-GRPO's averages, the moving reference and the number of draws are checkpointed."""
    over = {
        "rl": {"steps": 3, "reference": "ema", "ema_decay": 0.5, "ema_every": 1, "group_size": 2},
        "algo": {"type": "ema_grpo", "dynamic": {"max_tries": 2}, "kl": {"beta": 0.5}},
        "run": {"keep": 3, "dir": str(tmp_path / "whole")},
    }
    train_rl(recipe("rl", varied, over))
    shutil.copytree(tmp_path / "whole", tmp_path / "cut")
    for step in (2, 3):
        shutil.rmtree(tmp_path / "cut" / "checkpoints" / f"step-{step}")
    train_rl(recipe("rl", varied, over, {"run": {"dir": str(tmp_path / "cut")}}))
    (a, state), (b, resumed) = (
        checkpoint.load(tmp_path / name / "checkpoints" / "step-3") for name in ("whole", "cut")
    )
    assert state == resumed
    assert state["algo"]["moments"].keys() == {"free_form"}
    assert a.keys() == b.keys() == {"weights", "optimizer", "reference"}
    for group, tensors in a.items():
        for key, value in tensors.items():
            assert torch.equal(value, b[group][key]), (group, key)
    key = next(iter(a["reference"]))
    assert not torch.equal(a["reference"][key], a["weights"][key])


def test_an_offloaded_reference_scores_the_same(
    recipe: Recipe, varied: dict[str, Any], tmp_path: Path
) -> None:
    results = []
    for offload in (False, True):
        over = {
            "rl": {"reference_offload": offload},
            "algo": {"kl": {"beta": 0.5}},
            "run": {"dir": str(tmp_path / str(offload))},
        }
        train_rl(recipe("rl", varied, over))
        results.append(checkpoint.load(tmp_path / str(offload) / "checkpoints" / "step-2")[0])
    for key, value in results[0]["weights"].items():
        assert torch.equal(value, results[1]["weights"][key])
