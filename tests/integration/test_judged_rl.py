"""Reinforcement from a real judge over HTTP: canaries first, outages in the middle."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from kinograd import files
from kinograd.judge import JudgeOutage
from kinograd.judge.canaries import load_canaries
from kinograd.judge.untrusted import neutralise
from kinograd.train import sampling
from kinograd.train.rl import train_rl
from kinograd.types import KinogradError, UsageError

ROOT = Path(__file__).resolve().parents[2]
Recipe = Callable[..., Any]


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SERVER = load(ROOT / "benchmarks" / "judge_server.py")
CANARIES = {
    neutralise(c.candidate): c for c in load_canaries() if c.kind.value in ("mix_vid", "free_form")
}


def knowing(body: dict[str, Any]) -> str:
    """Right on every canary; else true if the answer is of even length."""
    choice = body["structured_outputs"]["choice"]
    if "kinograd-accepts" in choice:
        return "kinograd-accepts"
    content = body["messages"][-1]["content"]
    for candidate, canary in CANARIES.items():
        if candidate and candidate in content and canary.reference in content:
            return choice[round(sum(canary.value) / 2)]
    return choice[len(content) % len(choice)]


def judged(recipe: Recipe, server: Any, folder: str, **judge: Any) -> Any:
    settings = {"type": "openai", "urls": [server.url], "model": "m", "verdict": "choice"}
    settings |= {"timeout_s": 2.0, "max_retries": 0, "pauses_s": [0.05], "window": 4} | judge
    return recipe(
        "rl",
        {
            "run": {"dir": folder, "save_every": 100},
            "rl": {"steps": 3},
            "judges": {"big": settings},
            "reward": {"format": "off", "truncated": "score", "judges": {"free_form": "big"}},
        },
    )


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with SERVER.JudgeServer(knowing) as server:
        yield server


def weights(run: Path, step: int) -> dict[str, torch.Tensor]:
    return load_file(run / "checkpoints" / f"step-{step}" / "weights.safetensors")


def test_a_judge_that_fails_its_canaries_stops_the_run_before_it_starts(
    recipe: Recipe, serve: Any, tmp_path: Path
) -> None:
    serve.reply = SERVER.first_label
    with pytest.raises(KinogradError, match="not fit to judge"):
        train_rl(judged(recipe, serve, str(tmp_path / "run")))
    assert not (tmp_path / "run").exists()


def test_an_outage_stops_the_run_with_a_checkpoint_and_the_same_command_goes_on(
    recipe: Recipe, serve: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted by an outage in its second step, the run ends as if nothing had been."""
    whole = train_rl(judged(recipe, serve, str(tmp_path / "whole")))
    assert whole.is_dir()
    run = tmp_path / "cut"
    cut = judged(recipe, serve, str(run))
    real = sampling.roll_out

    def then_the_judge_dies(session, pairs, step):
        if step == 1:
            serve.fault_rate, serve.faults = 1.0, ("503",)
        return real(session, pairs, step)

    monkeypatch.setattr(sampling, "roll_out", then_the_judge_dies)
    with pytest.raises(JudgeOutage, match="resumes from its checkpoint"):
        train_rl(cut)
    assert [p.name for p in (run / "checkpoints").iterdir()] == ["step-1"]
    monkeypatch.setattr(sampling, "roll_out", real)
    serve.fault_rate = 0.0
    train_rl(cut)
    expected, got = weights(tmp_path / "whole", 3), weights(run, 3)
    assert all(torch.equal(expected[n], got[n]) for n in expected)
    steps = [r["step"] for r in files.read_records(run / "metrics.jsonl")]
    assert steps == [1, 2, 3]
    assert "judge/big/failure_rate" in files.read_records(run / "metrics.jsonl")[-1]


def test_a_run_does_not_mix_the_verdicts_of_two_models(
    recipe: Recipe, serve: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another model at the judge's address stops the run, and the run does not resume with it."""
    serve.model = "judge-1"
    run = judged(recipe, serve, str(tmp_path / "run"))
    real = sampling.roll_out

    def then_the_judge_changes(session, pairs, step):
        if step == 1:
            serve.model = "judge-2"
        return real(session, pairs, step)

    monkeypatch.setattr(sampling, "roll_out", then_the_judge_changes)
    with pytest.raises(JudgeOutage, match="'judge-2' replies, at first it was 'judge-1'"):
        train_rl(run)
    monkeypatch.setattr(sampling, "roll_out", real)
    with pytest.raises(UsageError, match=r"judges.big \(model\): not what it was"):
        train_rl(run)
    serve.model = "judge-1"
    train_rl(run)
    assert (tmp_path / "run" / "checkpoints" / "step-3").is_dir()
