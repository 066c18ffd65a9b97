"""Published figures and ours, by the same protocol."""

from __future__ import annotations

import pytest

from kinograd.eval.benchmarks import benchmarks, find_benchmark, find_source, sources
from kinograd.eval.benchmarks.metrics import (
    METRICS,
    accuracy,
    mean_relative_accuracy,
    mean_score,
)
from kinograd.eval.metrics import EvalRecord
from kinograd.types import UsageError


def record(kind: str, text: str, answer: str, correct: bool, value: float | None = None, **more):
    row = {"id": f"{kind} {text} {answer}", "view": "ordered", "kind": kind, "source": "s",
           "family": "s", "video": text, "answer": answer, "prediction": None, "text": text,
           "value": float(correct) if value is None else value, "correct": correct,
           "unscored": None, "error": None, "length": 1, "stop": "end"}  # fmt: skip
    return EvalRecord(**(row | more))


def test_every_figure_has_a_source_and_every_metric_a_function() -> None:
    for benchmark in benchmarks().values():
        assert benchmark.metrics, benchmark.name
        assert set(benchmark.metrics) <= METRICS.keys(), benchmark.name
        assert benchmark.published.keys() <= sources().keys(), benchmark.name
        for systems in benchmark.published.values():
            assert all(0 <= figure <= 200 for figure in systems.values()), benchmark.name
    assert all(one.source and one.note for one in sources().values())
    with_figures = {name for b in benchmarks().values() for name in b.published}
    assert with_figures == sources().keys()


def test_figures_go_by_the_name_of_the_data_file() -> None:
    assert find_benchmark("eval_vsibench").published["video_r1/16"]["Video-R1"] == 34.6
    assert find_benchmark("mmvu").published["video_r1/64"]["base CoT"] == 60.0
    assert "GPT-4o" not in find_benchmark("eval_mvbench").published["video_r1/16"]
    counting = {"base": 25.0, "GRPO, 900 steps": 34.5}
    assert find_benchmark("test_dvd").published["dvd_counting"] == counting
    assert find_benchmark("my_questions").published == {}
    assert find_benchmark("my_questions").metrics == tuple(METRICS)


def test_an_unknown_protocol_names_the_known_ones() -> None:
    with pytest.raises(UsageError, match="video_r1/16, video_r1/32"):
        find_source("video_r1/8")


def test_accuracy_leaves_regression_out_and_regression_has_its_mean_relative_accuracy() -> None:
    rows = [
        record("multiple_choice", "<answer>A</answer>", "A", True),
        record("multiple_choice", "<answer>B</answer>", "A", False),
        record("regression", "<answer>10</answer>", "10", True),  # 10 of 10 limits
        record("regression", "<answer>12</answer>", "10", True),  # an error of 0.2: 6 of 10
        record("regression", "", "10", False, error="damaged"),
        record("regression", "<answer>99</answer>", "10", False, view="shuffled"),
    ]
    right = accuracy(rows)
    assert right is not None
    assert (right.n, right.percent) == (2, 50.0)
    assert right.low is not None
    assert right.high is not None
    assert 0 < right.low < 50 < right.high < 100
    relative = mean_relative_accuracy(rows)
    assert relative is not None
    assert relative.percent == pytest.approx(80.0)
    assert mean_score(rows) is None


def test_hidden_events_are_scored_from_0_to_2() -> None:
    rows = [
        record("dark_event", "a", "x", True, 2.0),
        record("dark_event", "b", "x", True, 1.0),
        record("dark_event", "c", "x", False, unscored="judge_timeout") | {"value": None},
    ]
    assert accuracy(rows) is None
    assert mean_relative_accuracy(rows) is None
    score = mean_score(rows)
    assert score is not None
    assert (score.percent, score.n, str(score)) == (pytest.approx(150.0), 2, "150.0")
