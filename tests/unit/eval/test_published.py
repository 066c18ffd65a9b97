"""Published figures and ours, by the same protocol."""

from __future__ import annotations

import pytest

from kinograd.eval.metrics import EvalRecord
from kinograd.eval.published import figures_of, own_figures, table, tables
from kinograd.types import UsageError


def record(kind: str, text: str, answer: str, correct: bool, value: float | None = None, **more):
    row = {"id": f"{kind} {text} {answer}", "view": "ordered", "kind": kind, "source": "s",
           "family": "s", "video": text, "answer": answer, "prediction": None, "text": text,
           "value": float(correct) if value is None else value, "correct": correct,
           "unscored": None, "error": None, "length": 1, "stop": "end"}  # fmt: skip
    return EvalRecord(**(row | more))


def test_every_table_is_whole_and_has_a_source() -> None:
    for name, one in tables().items():
        assert one["source"], name
        assert one["note"], name
        assert {len(row) for row in one["systems"].values()} == {len(one["benchmarks"])}


def test_figures_go_by_the_name_of_the_data_file() -> None:
    assert figures_of("video_r1/16", "eval_vsibench")["Video-R1"] == 34.6
    assert figures_of("video_r1/64", "mmvu")["base CoT"] == 60.0
    assert "GPT-4o" not in figures_of("video_r1/16", "eval_mvbench")
    assert figures_of("dvd_counting", "test_dvd") == {"base": 25.0, "GRPO, 900 steps": 34.5}
    assert figures_of("vidbridge", "my_questions") == {}


def test_an_unknown_table_names_the_known_ones() -> None:
    with pytest.raises(UsageError, match="video_r1/16, video_r1/32"):
        table("video_r1/8")


def test_accuracy_leaves_regression_out_and_regression_has_its_mean_relative_accuracy() -> None:
    rows = [
        record("multiple_choice", "<answer>A</answer>", "A", True),
        record("multiple_choice", "<answer>B</answer>", "A", False),
        record("regression", "<answer>10</answer>", "10", True),  # 10 of 10 limits
        record("regression", "<answer>12</answer>", "10", True),  # an error of 0.2: 6 of 10
        record("regression", "", "10", False, error="damaged"),
        record("regression", "<answer>99</answer>", "10", False, view="shuffled"),
    ]
    cell, score = own_figures(rows)
    assert cell is not None
    assert (cell["n"], cell["accuracy"]) == (2, 0.5)
    assert score == pytest.approx(80.0)


def test_hidden_events_are_scored_from_0_to_2() -> None:
    cell, score = own_figures([
        record("dark_event", "a", "x", True, 2.0),
        record("dark_event", "b", "x", True, 1.0),
        record("dark_event", "c", "x", False, unscored="judge_timeout") | {"value": None},
    ])  # fmt: skip
    assert cell is None
    assert score == pytest.approx(150.0)
