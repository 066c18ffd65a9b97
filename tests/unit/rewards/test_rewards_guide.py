"""Every number in the guide's tables of differences is computed."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from kinograd.config.rewards import RewardConfig
from kinograd.rewards import grade_jsonl
from kinograd.rewards.rubric import grade_text
from kinograd.rewards.score import score_groups
from kinograd.types import (
    ORDERED,
    Example,
    Group,
    Kind,
    Rollout,
    Score,
    StopReason,
    Verdict,
)

GUIDE = (Path(__file__).resolve().parents[3] / "docs" / "guide" / "rewards.md").read_text("utf-8")
OPTIONS = ("A. a red car", "B. a blue car", "C. two dogs")
VERDICT = Verdict(None, {"recall": 0.5, "precision": 0.25})


def table(name: str) -> list[list[str]]:
    rows = GUIDE.split(f"<!-- {name} -->\n")[1].split("\n\n")[0].splitlines()[2:]
    return [[_cell(c) for c in row.strip("|").split(" | ")] for row in rows]


def _cell(text: str) -> str:
    text = text.strip()
    return text[1:-1] if text.startswith("`") and text.endswith("`") else text


def grades(mode: str, kind: str, reference: str, response: str) -> tuple[Score, Score]:
    text = response if "<" in response else f"<think>hm</think><answer>{response}</answer>"
    args = (Kind(kind), text, reference, OPTIONS if kind == "multiple_choice" else ())
    verdict = VERDICT if kind == "caption" else None
    published = grade_text(*args, mode=mode, verdict=verdict)  # type: ignore[arg-type]
    return published, grade_text(*args, verdict=verdict)


@pytest.mark.parametrize("row", table("accuracy"), ids=lambda row: " ".join(row[:4]))
def test_accuracies(row: list[str]) -> None:
    mode, kind, reference, response, published, default, _ = row
    found = [
        s.parts["accuracy"] + s.parts.get("keywords", 0.0)
        for s in grades(mode, kind, reference, response)
    ]
    assert found == pytest.approx([float(published), float(default)], abs=1e-12)


@pytest.mark.parametrize("row", table("format"), ids=lambda row: " ".join(row[:2]))
def test_formats(row: list[str]) -> None:
    mode, response, published, default, _ = row
    found = [s.parts["format"] for s in grades(mode, "multiple_choice", "B", response)]
    assert found == [float(published), float(default)]


def test_the_tables_are_there() -> None:
    assert len(table("accuracy")) > 30
    assert len(table("format")) > 4


def test_the_example_of_an_own_reward_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = GUIDE.split("# my_pkg/my_reward.py\n")[1].split("```")[0]
    (tmp_path / "guide_reward.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    config = RewardConfig.model_validate({"custom": [{"target": "guide_reward:brevity"}]})
    ids, logprobs = np.arange(128), np.zeros(128, np.float32)
    rollout = Rollout(ids, logprobs, "<think>hm</think><answer>B</answer>", StopReason.END)
    group = Group(Example("e", Kind.MULTIPLE_CHOICE, "q", "B", ()), ORDERED, (rollout,))
    assert score_groups([group], config)[0].values.tolist() == [2.75]


def test_the_example_of_the_command_line_is_what_it_prints() -> None:
    row, shown = (line for line in GUIDE.splitlines() if line.startswith('{"'))
    out, err = io.StringIO(), io.StringIO()
    assert grade_jsonl.main([row], out, err) == 0
    assert out.getvalue().strip() == shown
