"""kill -9 at any moment, then the same command: the result of the run that nobody killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from kinograd import files
from kinograd.train import checkpoint

REWARD = """\
def variety(example, rollout):
    return int(rollout.token_ids.sum()) % 5 / 4
"""
TIMES = ("time", "video/wait_s")
STEPS = 8


def left_files(run: Path) -> dict[str, Any]:
    """What the run left, without times and without the notes of its starts."""
    newest = checkpoint.latest(run / "checkpoints")
    assert newest is not None
    assert newest.name == f"step-{STEPS}"
    found: dict[str, Any] = {
        str(p.relative_to(run)): p.read_bytes()
        for kind in ("checkpoints", "rollouts", "strips", "eval")
        for p in (run / kind).rglob("*")
        if p.is_file()
    }
    found["metrics"] = [
        {k: v for k, v in row.items() if not k.startswith(TIMES)}
        for row in files.read_records(run / "metrics.jsonl")
    ]
    found["quarantine"] = files.read_records(run / "quarantine.jsonl")
    return found


def children(pid: int) -> list[int]:
    return [
        int(child)
        for task in Path(f"/proc/{pid}/task").glob("*/children")
        for child in task.read_text().split()
    ]


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def until(condition: Callable[[], bool], process: subprocess.Popen[str], what: str) -> None:
    end = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, f"ended before {what}: {process.communicate()[1]}"
        assert time.monotonic() < end, what
        time.sleep(0.001)


def write_recipe(
    method: str, recipe_tree: Callable[..., dict[str, Any]], world: Path, folder: Path
) -> Path:
    """A recipe of eight steps that evaluates, saves, and meets a clip that is not there."""
    (folder / "kill_test_reward.py").write_text(REWARD)
    held_out = {
        "data": [str(world / "held_out.jsonl")],
        "limit": 3,
        "sampling": {"max_new_tokens": 4, "temperature": 0.0},
    }
    rows = (world / "train.jsonl").open().readlines()[:9]
    rows.insert(4, rows[0].replace("train-000000", "gone-000000"))  # one goes to quarantine
    (folder / "rows.jsonl").write_text("".join(rows))
    custom = [{"target": "kill_test_reward:variety", "replaces": "accuracy"}]
    tree = recipe_tree(
        method,
        {
            "data": {"train": [str(folder / "rows.jsonl")], "max_failed_fraction": 0.5},
            "video": {"workers": 1},
            "eval": held_out,
            method: {"steps": STEPS},
            "run": {"eval_every": 3, "save_every": 2, "keep": 2},
        },
        {"algo": {"type": "t_grpo", "kl": {"beta": 0.05}, "minibatches": 2}}
        | {"reward": {"format": "off", "custom": custom}}
        if method == "rl"
        else {"model": {"train_vision": True}},
    )
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(tree))
    return path


@pytest.mark.slow
@pytest.mark.parametrize("method", ["sft", "rl"])
def test_killed_runs_end_as_if_nobody_had_killed_them(
    method: str, recipe_tree: Callable[..., dict[str, Any]], world: Path, tmp_path: Path
) -> None:
    path = write_recipe(method, recipe_tree, world, tmp_path)
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([*filter(None, sys.path), str(tmp_path)]),
        "OMP_NUM_THREADS": "1",
    }

    def start(folder: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "kinograd", method, str(path), f"run.dir={tmp_path / folder}"],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def finish(folder: str) -> None:
        process = start(folder)
        said = process.communicate(timeout=240)[1]
        assert process.returncode == 0, said
        assert "Traceback" not in said

    finish("whole")
    expected = left_files(tmp_path / "whole")
    assert any(name.startswith("checkpoints/step-8/optimizer") for name in expected)
    assert [r["reason"] for r in expected["quarantine"]] == ["missing"]

    run = tmp_path / "killed"
    log = run / "metrics.jsonl"

    def steps() -> int:
        return log.read_text().count('"optim/lr"') if log.exists() else 0

    def saving() -> bool:
        folder = run / "checkpoints"
        return folder.is_dir() and any(folder.glob(".unfinished-*"))

    moments: list[tuple[str, Callable[[], bool], float]] = [
        ("opening", lambda: (run / "recipe.yaml").exists(), 0.05),
        ("the first step", lambda: steps() >= 1, 0.02),
        ("a checkpoint", saving, 0.0),
        ("steps after one", lambda: steps() >= 5, 0.06),
        ("the last checkpoint", lambda: steps() >= 7 and saving(), 0.01),
    ]
    for what, reached, later in moments:
        process = start("killed")
        until(reached, process, what)
        time.sleep(later)
        workers = children(process.pid)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        end = time.monotonic() + 20
        while not all(map(gone, workers)):  # decoders must not outlive their run
            assert time.monotonic() < end, f"orphans of {what}: {workers}"
            time.sleep(0.05)
    finish("killed")
    found = left_files(run)
    assert found.keys() == expected.keys()
    assert {name for name in expected if found[name] != expected[name]} == set()
