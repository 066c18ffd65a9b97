"""The demo's story, what of it is stable, and its larger sibling in small."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kinograd import cli

RECIPES = Path(__file__).resolve().parents[2] / "recipes" / "demo"
SMALL = [
    "synthetic.splits={worked: 20, terse: 30, questions: 20, held_out: 20}",
    *("synthetic.workers=1", "tiny.size=0.8m", "base.video.workers=1", "base.model.dtype=float32"),
    *(f"stages.{s}.sft={{steps: 2, batch_size: 4}}" for s in ("worked", "cold_start")),
    "stages.reinforced.rl={steps: 2, prompts_per_step: 4, group_size: 4}",
    "controls.rft.samples=4",
]


@pytest.mark.slow
def test_the_demo_for_one_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    recipes = [str(RECIPES / "demo.yaml"), str(RECIPES / "one_gpu.yaml")]
    assert cli.main(["demo", *recipes, *SMALL]) == 0
    summary = json.loads((tmp_path / "runs/demo-one-gpu/summary.json").read_text())
    assert list(summary["stages"]) == ["worked", "cold_start", "reinforced"]
    assert "forced_think" in summary["controls"]


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_reinforcement_finds_that_thinking_pays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The demo's own stages and figures; margins lie below what every seed has shown."""
    monkeypatch.chdir(tmp_path)
    small = ["controls=null", "synthetic.splits.held_out=300"]
    assert cli.main(["demo", *small, "evaluate.views=[ordered, shuffled]"]) == 0
    summary = json.loads((tmp_path / "runs/demo/summary.json").read_text())
    start, end = (summary["stages"][name] for name in ("cold_start", "reinforced"))

    def accuracy(stage: dict, kind: str, view: str = "ordered") -> float:
        return stage[kind][view]["accuracy"]

    def length(stage: dict) -> float:
        return stage["greedy"]["ordered"]["length"]["mean"]

    assert accuracy(end, "sampled") >= accuracy(start, "sampled") + 0.10
    assert length(end) >= length(start) + 4
    assert end["sampled"]["ordered"]["terse"] < 0.3 < start["sampled"]["ordered"]["terse"]
    gaps = [accuracy(s, "greedy") - accuracy(s, "greedy", "shuffled") for s in (start, end)]
    assert gaps[1] >= gaps[0] + 0.10
    assert accuracy(start, "greedy") < 0.5 < accuracy(end, "greedy")
    pair = summary["paired"]["reinforced minus cold_start"]["sampled"]
    assert pair["p"] < 0.01
