"""recipes/debug runs as its comments say: from an empty folder to reports, in seconds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kinograd import cli, records

DEBUG = Path(__file__).resolve().parents[2] / "recipes" / "debug"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the demo's debug recipe has run."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert cli.main(["demo", str(DEBUG / "demo.yaml"), "theatre.workers=1"]) == 0
    return folder


def test_the_demo(home: Path) -> None:
    summary = json.loads((home / "runs/debug/summary.json").read_text())
    assert list(summary["stages"]) == ["cold_start", "reinforced"]
    assert list(summary["controls"]) == ["more_sft", "answer_sft", "rft", "forced_think"]
    for stage in (summary["stages"] | summary["controls"]).values():
        assert set(stage["greedy"]) == {"ordered", "shuffled"}
    assert "reinforced minus rft" in summary["paired"]
    report = (home / "runs/debug/report.html").read_text()
    assert "cold_start" in report
    assert "http://" not in report.replace("http://www.w3.org", "")


@pytest.mark.parametrize(
    ("name", "verb", "left"),
    [
        ("sft", "sft", ["checkpoints/step-8/model/config.json", "eval/step-4.jsonl"]),
        ("grpo", "rl", ["checkpoints/step-4/model/config.json", "rollouts/step-3.jsonl"]),
        ("t_grpo", "rl", ["checkpoints/step-4/model/config.json", "rollouts/step-1.jsonl"]),
        ("eval", "eval", ["eval/held_out.jsonl"]),
    ],
)
def test_each_verb(
    home: Path, name: str, verb: str, left: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    assert cli.main([verb, str(DEBUG / f"{name}.yaml")]) == 0
    for file in left:
        assert (home / "runs/debug" / name / file).stat().st_size > 0
    metrics = records.read(home / "runs/debug" / name / "metrics.jsonl")
    assert all("nonfinite" not in row for row in metrics)


def test_every_debug_recipe_is_run_here() -> None:
    tested = {"demo", "sft", "grpo", "t_grpo", "eval"}
    assert {path.stem for path in DEBUG.glob("*.yaml")} == tested


def test_two_evaluations_are_compared(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(home)
    stages = [f"runs/debug/{s}-held-out/eval/held_out.jsonl" for s in ("cold_start", "reinforced")]
    assert cli.main(["eval", "compare", *stages]) == 0
    shown = capsys.readouterr().out
    assert "ordered" in shown
    assert "shuffled" in shown
    assert " 20 " in shown
