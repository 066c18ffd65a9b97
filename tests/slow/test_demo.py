"""The demo's larger sibling, at a thousandth of its size and with the smallest model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kinograd import cli

RECIPES = Path(__file__).resolve().parents[2] / "recipes" / "demo"
SMALL = [
    "theatre.splits={worked: 20, terse: 30, questions: 20, held_out: 20}",
    *("theatre.workers=1", "tiny.size=0.8m", "base.video.workers=1", "base.model.dtype=float32"),
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
