"""Both loops end to end on real clips: every switch, finite figures, nothing twice."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from kinograd import files
from kinograd.train.rl import train_rl
from kinograd.train.sft import train_sft

Recipe = Callable[..., Any]
LORA = {"rank": 4, "alpha": 8.0, "targets": ["q_proj", "v_proj", "down_proj"]}


def finite_metrics(run: Path, steps: int) -> list[dict[str, Any]]:
    """The metrics, each step once, every figure a finite number."""
    rows = files.read_records(run / "metrics.jsonl")
    assert [r["step"] for r in rows] == list(range(1, steps + 1))
    for row in rows:
        assert "nonfinite" not in row
        assert all(np.isfinite(v) for v in row.values()), row
    return rows


def content(run: Path) -> dict[str, bytes]:
    """All that a run has written, but for the note of each start."""
    return {
        p.relative_to(run).as_posix(): p.read_bytes()
        for p in sorted(run.rglob("*"))
        if p.is_file() and p.name not in (".lock", "env.json")
    }


def moved(before: Path, after: Path) -> set[str]:
    """Parts of the model (tower, language model) whose saved weights differ."""
    a, b = (load_file(p / "model.safetensors") for p in (before, after))
    assert a.keys() == b.keys()
    changed = [name for name in a if not torch.equal(a[name], b[name])]
    return {"tower" if ".visual." in f".{name}" else "language" for name in changed}


SFT = {
    "frozen tower": ({}, {"language"}),
    "trained tower": ({"model": {"train_vision": True}}, {"language", "tower"}),
    "checkpointed": (
        {"model": {"train_vision": True, "gradient_checkpointing": True}},
        {"language", "tower"},
    ),
    "adapter": ({"model": {"lora": LORA}}, {"language"}),
    "adapter and tower": (
        {"model": {"lora": LORA | {"dropout": 0.1}, "train_vision": True}},
        {"language", "tower"},
    ),
    "bfloat16": ({"model": {"dtype": "bfloat16"}}, {"language"}),
    "sequence mean, epochs": (
        {"sft": {"steps": None, "epochs": 0.5, "aggregate": "sequence_mean"}},
        {"language"},
    ),
}


@pytest.mark.parametrize("variant", SFT)
def test_sft(recipe: Recipe, tiny: Path, variant: str) -> None:
    over, parts = SFT[variant]
    config = recipe("sft", over)
    model = train_sft(config)
    run = Path(config.run.dir)
    steps = 3  # also 0.5 epochs of 24 examples in batches of 4
    assert model == run / "checkpoints" / f"step-{steps}" / "model"
    rows = finite_metrics(run, steps)
    assert all(0 < r["loss"] < 10 for r in rows)
    assert rows[0].keys() >= {
        "loss", "optim/grad_norm", "optim/lr", "tokens/response", "tokens/prompt",
        "time/step_s", "video/wait_s",
    }  # fmt: skip
    assert moved(tiny, model) == parts
    assert [p.name for p in sorted((run / "checkpoints").glob("*"))] == ["step-2", "step-3"]
    assert not (run / "rollouts").exists()
    before = content(run)
    assert train_sft(config) == model  # a finished run has nothing left to do
    assert content(run) == before


RL = {
    "grpo with KL": ({"algo": {"kl": {"beta": 0.05}}}, {"language"}),
    "t-grpo with KL": (
        {"algo": {"type": "t_grpo", "kl": {"beta": 0.05}}},
        {"language"},
    ),
    "passes and minibatches": (
        {"algo": {"epochs": 2, "minibatches": 2, "clip_low": 0.01, "clip_high": 0.01}},
        {"language"},
    ),
    "adapter, its base as reference": (
        {"model": {"lora": LORA}, "algo": {"kl": {"beta": 0.05}}}
        | {"rl": {"reference": "adapter_off"}},
        {"language"},
    ),
    "adapter with dropout": (
        {"model": {"lora": LORA | {"dropout": 0.2}}, "algo": {"kl": {"beta": 0.05}}},
        {"language"},
    ),
    "tower trained, checkpointed": (
        {"model": {"train_vision": True, "gradient_checkpointing": True}}
        | {"algo": {"kl": {"beta": 0.05}}},
        {"language", "tower"},
    ),
    "bfloat16": ({"model": {"dtype": "bfloat16"}}, {"language"}),
    "temperature, nucleus": ({"sampling": {"temperature": 0.7, "top_p": 0.9}}, {"language"}),
}


@pytest.mark.parametrize("variant", RL)
def test_rl(recipe: Recipe, tiny: Path, varied: dict[str, Any], variant: str) -> None:
    over, parts = RL[variant]
    config = recipe("rl", varied, over)
    model = train_rl(config)
    run = Path(config.run.dir)
    rows = finite_metrics(run, 2)
    names = {
        "reward/mean", "reward/std", "reward/correct", "reward/no_spread", "reward/accuracy",
        "length/mean", "length/max", "length/truncated", "rollouts", "optim/updates",
        "optim/grad_norm", "optim/lr", "policy/entropy", "policy/loss", "policy/log_ratio",
        "time/rollout_s", "time/score_s", "time/update_s", "time/step_s",
    }  # fmt: skip
    assert rows[0].keys() >= names
    assert rows[0]["reward/no_spread"] < 1
    assert rows[0]["optim/grad_norm"] > 0
    assert moved(tiny, model) == parts

    kl, twins = config.algo.kl.beta > 0, config.algo.type == "t_grpo"
    updates = config.algo.epochs * config.algo.minibatches
    assert rows[0]["optim/updates"] == updates
    # The sampler is the learner: before any update the two differ by rounding alone.
    if updates == 1 and config.model.lora is None:
        limit = 0.05 if config.model.dtype == "bfloat16" else 1e-4
        assert rows[0]["policy/log_ratio"] < limit
    assert ("policy/clip_fraction" in rows[0]) == (updates > 1)
    assert ("policy/kl" in rows[0]) == kl
    if kl and config.model.lora is None:
        assert rows[0]["policy/kl"] == pytest.approx(0, abs=1e-6)  # still the reference
        assert rows[1]["policy/kl"] > 1e-6
    assert ("temporal/gate" in rows[0]) == twins

    for step in (1, 2):
        kept = files.read_records(run / "rollouts" / f"step-{step}.jsonl")
        keys = [(r["group"], r["view"], r["rollout"]) for r in kept]
        views = [("ordered", 4), *([("shuffled", 2)] if twins else [])]
        assert keys == [(g, v, i) for g in range(3) for v, n in views for i in range(n)]
        for row in kept:
            assert all((run / "strips" / name).is_file() for name in row["strips"])
            assert len(row["strips"]) == 1
            assert row["length"] <= 10
            assert (row["advantage"] is None) == (row["view"] == "shuffled")
    assert [p.name for p in sorted((run / "checkpoints").glob("*"))] == ["step-1", "step-2"]
    before = content(run)
    assert train_rl(config) == model
    assert content(run) == before


def test_runs_of_one_recipe_are_equal_whatever_ran_before(
    recipe: Recipe, varied: dict[str, Any], tmp_path: Path
) -> None:
    """Nothing is drawn from the process's own random state, not even an adapter's start."""
    tensors = []
    for name in ("a", "b"):
        over = {"run": {"dir": str(tmp_path / name)}, "model": {"lora": LORA | {"dropout": 0.3}}}
        torch.manual_seed(len(tensors))
        np.random.seed(len(tensors))
        train_rl(recipe("rl", varied, over))
        tensors.append(
            load_file(tmp_path / name / "checkpoints" / "step-2" / "weights.safetensors")
        )
    assert tensors[0].keys() == tensors[1].keys()
    assert all(torch.equal(tensors[0][k], tensors[1][k]) for k in tensors[0])


def test_another_seed_is_another_run(
    recipe: Recipe, varied: dict[str, Any], tmp_path: Path
) -> None:
    texts = []
    for seed in (0, 1):
        over = {"run": {"dir": str(tmp_path / str(seed)), "seed": seed}, "rl": {"steps": 1}}
        train_rl(recipe("rl", varied, over))
        rows = files.read_records(tmp_path / str(seed) / "rollouts" / "step-1.jsonl")
        texts.append([r["text"] for r in rows])
    assert texts[0] != texts[1]


def test_evaluation_during_training_reads_its_own_media_root(
    recipe: Recipe, world: Path, tmp_path: Path
) -> None:
    """Training clips and held-out clips often lie apart."""
    roots = {"train": tmp_path / "train only", "held_out": tmp_path / "held out only"}
    for split, root in roots.items():
        (root / "clips").mkdir(parents=True)
        for clip in (world / "clips").glob(f"{split}*"):
            (root / "clips" / clip.name).hardlink_to(clip)
    held_out = {
        "data": [str(world / "held_out.jsonl")],
        "media_root": str(roots["held_out"]),
        "limit": 3,
        "views": ["ordered", "shuffled"],
        "sampling": {"max_new_tokens": 5, "temperature": 0.0},
    }
    data = {"media_root": str(roots["train"])}
    config = recipe("sft", {"eval": held_out, "run": {"eval_every": 2}, "data": data})
    train_sft(config)
    run = Path(config.run.dir)
    for step in (2, 3):
        rows = files.read_records(run / "eval" / f"step-{step}.jsonl")
        assert len(rows) == 6
        assert all(r["error"] is None for r in rows)
    accuracies = [r for r in files.read_records(run / "metrics.jsonl") if "eval/accuracy" in r]
    assert [r["step"] for r in accuracies] == [2, 3]


@pytest.fixture
def mixed(world: Path, tmp_path: Path) -> dict[str, Any]:
    """A data section of films, pictures of several shapes, and examples with both."""
    root = tmp_path / "mixed"
    (root / "clips").mkdir(parents=True)
    for clip in (world / "clips").glob("train*"):
        (root / "clips" / clip.name).hardlink_to(clip)
    rows = [json.loads(line) for line in (world / "train.jsonl").open()][:9]
    for i, row in enumerate(rows):
        size = (56 + 28 * (i % 3), 84, 3)
        noise = np.random.default_rng(i).integers(0, 256, size, np.uint8)
        Image.fromarray(noise).save(root / f"{i}.png")
        picture = {"type": "image", "path": f"{i}.png"}
        if i % 3 == 1:
            row["media"] = [picture]
        elif i % 3 == 2:
            row["media"] = [picture, *row["media"]]
            row["question"] = "<image> and then <video> " + row["question"]
    data = tmp_path / "mixed.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {"data": {"train": [str(data)], "media_root": str(root)}}


@pytest.mark.parametrize("train_vision", [False, True])
def test_films_and_pictures_share_a_batch(
    recipe: Recipe, varied: dict[str, Any], mixed: dict[str, Any], train_vision: bool
) -> None:
    """T-GRPO shuffles what has frames; a picture alone has no twin."""
    model = {"model": {"train_vision": train_vision}}
    supervised = recipe("sft", mixed, model, {"sft": {"batch_size": 9}})
    train_sft(supervised)
    finite_metrics(Path(supervised.run.dir), 3)
    over = {"rl": {"prompts_per_step": 9}, "algo": {"type": "t_grpo", "kl": {"beta": 0.1}}}
    config = recipe("rl", varied, mixed, model, over)
    train_rl(config)
    run = Path(config.run.dir)
    finite_metrics(run, 2)
    rows = files.read_records(run / "rollouts" / "step-2.jsonl")
    assert len({r["id"] for r in rows if r["view"] == "ordered"}) == 9
    assert len({r["id"] for r in rows if r["view"] == "shuffled"}) == 6
    assert {len(r["strips"]) for r in rows} == {1, 2}


@pytest.mark.parametrize("budget", [1, 2])
def test_the_shortest_rollouts(recipe: Recipe, varied: dict[str, Any], budget: int) -> None:
    """One token is predicted by the prompt alone: no completion runs through the model."""
    over = {"sampling": {"max_new_tokens": budget}, "algo": {"kl": {"beta": 0.1}}}
    config = recipe("rl", varied, over)
    train_rl(config)
    rows = finite_metrics(Path(config.run.dir), 2)
    assert rows[0]["length/max"] == budget
    assert rows[0]["optim/grad_norm"] > 0
    assert rows[0]["policy/log_ratio"] < 1e-5


def test_an_example_comes_once_per_step(
    recipe: Recipe, world: Path, varied: dict[str, Any], tmp_path: Path
) -> None:
    """Fewer examples than prompts per step: keyed rollouts of a second copy would be equal."""
    few = tmp_path / "few.jsonl"
    few.write_text("".join((world / "train.jsonl").open().readlines()[:5]))
    over = {"rl": {"prompts_per_step": 8, "steps": 1}, "data": {"train": [str(few)]}}
    config = recipe("rl", varied, over)
    train_rl(config)
    rows = files.read_records(Path(config.run.dir) / "rollouts" / "step-1.jsonl")
    assert len(rows) == 5 * 4
    assert len({(r["id"], r["text"]) for r in rows}) == 20
