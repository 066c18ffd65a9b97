from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinograd.eval.metrics import (
    EvalRecord,
    accuracy_interval,
    cluster_bootstrap,
    compare,
    compare_records,
    mcnemar,
    paired_bootstrap,
    read_records,
    summarise,
    wilson,
)
from kinograd.types import DataError


def _record(name: str, correct: bool | None = True, **changes: object) -> EvalRecord:
    """An answer to a question of its own about a video of its own; None is unscored."""
    record = {
        "id": name,
        "view": "ordered",
        "kind": "multiple_choice",
        "source": "synthetic",
        "family": "order",
        "video": f"{name}.mp4",
        "answer": "A",
        "prediction": "A" if correct else "B",
        "text": "<answer>A</answer>",
        "value": None if correct is None else float(correct),
        "correct": bool(correct),
        "unscored": "parse" if correct is None else None,
        "error": None,
        "length": 10,
        "stop": "end",
    }
    return record | changes  # type: ignore[return-value]


# ------------------------------------------------------------------ statistics


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    [
        (8, 10, 0.4901625, 0.9433178),  # R: prop.test(8, 10, correct=FALSE)
        (15, 148, 0.0624, 0.1605),  # Newcombe 1998, table I, method 3
        (1, 29, 0.0061, 0.1718),
        (0, 20, 0.0, 0.1611),
        (20, 20, 0.8389, 1.0),
        (0, 0, 0.0, 1.0),
    ],
)
def test_wilson_gives_the_published_intervals(k: int, n: int, low: float, high: float) -> None:
    assert wilson(k, n) == pytest.approx((low, high), abs=6e-5)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_holds_the_estimate_and_mirrors(case: tuple[int, int]) -> None:
    k, n = case
    low, high = wilson(k, n)
    assert 0 <= low <= k / n <= high <= 1
    assert wilson(n - k, n) == pytest.approx((1 - high, 1 - low))


@pytest.mark.parametrize(
    ("only_a", "only_b", "p"),
    [
        (10, 2, 158 / 4096),  # 2 (1 + 12 + 66) / 2^12
        (0, 5, 2 / 32),
        (1, 7, 2 * 9 / 256),
        (6, 6, 1.0),
        (0, 0, 1.0),
        (59, 6, 2 * (1 + 65 + 2080 + 43680 + 677040 + 8259888 + 82598880) / 2**65),
    ],
)
def test_mcnemar_is_the_exact_binomial_test(only_a: int, only_b: int, p: float) -> None:
    agreed = [True] * 30 + [False] * 20  # must not matter
    a = [True] * only_a + [False] * only_b + agreed
    b = [False] * only_a + [True] * only_b + agreed
    assert mcnemar(a, b) == pytest.approx(p, rel=1e-12, abs=0)
    assert mcnemar(b, a) == mcnemar(a, b)


def test_the_bootstrap_of_independent_values_is_the_usual_interval() -> None:
    values = np.arange(400) % 4 == 0
    low, high = cluster_bootstrap(values, [str(i) for i in range(400)])
    half = 1.96 * math.sqrt(0.25 * 0.75 / 400)
    assert (low, high) == pytest.approx((0.25 - half, 0.25 + half), abs=0.006)


def test_ten_questions_about_one_video_are_one_observation() -> None:
    per_video = np.arange(40) % 2
    alone = cluster_bootstrap(per_video, [str(i) for i in range(40)])
    videos = [str(i) for i in range(40) for _ in range(10)]
    assert cluster_bootstrap(np.repeat(per_video, 10), videos) == pytest.approx(alone)


def test_the_bootstrap_weighs_questions_not_videos() -> None:
    """Videos a (9 right of 9) and b (0 of 1): resamples aa, ab, ba, bb give 1, .9, .9, 0."""
    low, high = cluster_bootstrap([1.0] * 9 + [0.0], ["a"] * 9 + ["b"])
    assert (low, high) == (0.0, 1.0)
    inner = cluster_bootstrap(
        ([1.0] * 9 + [0.0]) * 50, [f"{i}{'a' * (j < 9)}" for i in range(50) for j in range(10)]
    )
    assert inner[0] < 0.9 < inner[1]


def test_the_bootstrap_is_keyed_and_ignores_order() -> None:
    values, videos = [1.0, 0.0, 1.0, 1.0, 0.0], ["a", "b", "c", "c", "d"]
    assert cluster_bootstrap(values, videos, 1) == cluster_bootstrap(values[::-1], videos[::-1], 1)


def test_one_cluster_says_nothing_about_others() -> None:
    assert all(math.isnan(x) for x in cluster_bootstrap([1, 0, 1], ["a", "a", "a"]))


def test_a_constant_gain_has_no_spread() -> None:
    assert paired_bootstrap([0, 0, 0], [1, 1, 1], ["a", "b", "c"]) == (1.0, 1.0, 1.0)


def test_accuracy_interval_takes_wilson_where_the_bootstrap_has_no_width() -> None:
    singles = [str(i) for i in range(10)]
    assert accuracy_interval([True] * 8 + [False] * 2, singles) == wilson(8, 10)
    doubled = [name for name in singles for _ in range(2)]
    assert accuracy_interval([True] * 20, doubled) == wilson(10, 10)
    assert accuracy_interval([True, False], ["a", "a"]) == wilson(0.5, 1)
    assert accuracy_interval([True, False] * 10, doubled) == wilson(5, 10)
    assert accuracy_interval([True, False, False], ["a", "b", "b"]) != wilson(1, 3)


# ------------------------------------------------------------------- summaries


def test_unscored_and_errors_are_counted_apart_from_wrong() -> None:
    records = [
        _record("a"),
        _record("b", False, length=30, stop="length"),
        _record("c", None),
        _record("d", None, unscored="judge_timeout"),
        _record("e", None, unscored=None, error="decode: no video stream", length=0, stop=None),
    ]
    got = summarise(records)
    assert (got["n"], got["scored"], got["errors"]) == (5, 2, 1)
    assert got["unscored"] == {"parse": 1, "judge_timeout": 1}
    assert got["accuracy"] == 0.5
    assert (got["low"], got["high"]) == wilson(1, 2)
    assert got["at_least"] == 0.2
    assert got["truncated"] == 0.25
    assert got["length"] == {"mean": 15.0, "max": 30}
    json.dumps(got, allow_nan=False)


def test_an_evaluation_without_a_score_has_no_accuracy() -> None:
    got = summarise([_record("a", None), _record("b", None)])
    assert got["accuracy"] is None
    assert got["low"] is None
    assert got["at_least"] == 0
    with pytest.raises(DataError, match="without records"):
        summarise([])


def test_the_majority_baseline_knows_the_family() -> None:
    answers = [("x", "A")] * 3 + [("x", "B")] + [("y", "left")] * 2 + [("y", "right")] * 2
    records = [_record(str(i), family=f, answer=a) for i, (f, a) in enumerate(answers)]
    got = summarise(records)
    assert got["majority"] == 5 / 8
    assert {f: c["majority"] for f, c in got["by"]["family"].items()} == {"x": 0.75, "y": 0.5}


def test_views_are_kept_apart_and_their_gap_is_paired() -> None:
    names = [str(i) for i in range(10)]
    records = [_record(n, i < 8) for i, n in enumerate(names)]
    records += [_record(n, i < 3, view="shuffled") for i, n in enumerate(names)]
    got = summarise(records)
    assert got["view"] == "ordered"
    assert got["n"] == 10
    assert got["accuracy"] == 0.8
    assert got["views"]["shuffled"]["accuracy"] == 0.3
    assert got["views"]["shuffled"]["by"]["family"]["order"]["n"] == 10
    gap = got["gaps"]["shuffled"]
    assert gap["difference"] == pytest.approx(0.5)
    assert gap["low"] < 0.5 < gap["high"]
    assert (gap["only_a"], gap["only_b"], gap["p"]) == (0, 5, 2 / 32)


def test_a_run_on_shuffled_frames_only_has_that_main_view() -> None:
    assert summarise([_record("a", view="shuffled")])["view"] == "shuffled"


# ------------------------------------------------------------------ comparison


def _write(path: Path, records: list[EvalRecord]) -> Path:
    path.write_text("".join(json.dumps(r) + "\n" for r in records))
    return path


def test_compare_pairs_by_example_and_view(tmp_path: Path) -> None:
    a = [_record("1", False), _record("2"), _record("3", None), _record("only a")]
    b = [_record("3"), _record("2"), _record("1"), _record("only b"), _record("new b")]
    a += [_record("1", view="shuffled")]
    b += [_record("1", False, view="shuffled")]
    got = compare(_write(tmp_path / "a.jsonl", a), _write(tmp_path / "b.jsonl", b))
    assert got["view"] == "ordered"
    assert (got["pairs"], got["unscored"], got["unpaired"]) == (2, 1, 3)
    assert (got["a"], got["b"], got["difference"]) == (0.5, 1.0, 0.5)
    assert (got["only_a"], got["only_b"], got["p"]) == (0, 1, 1.0)
    assert got["views"]["shuffled"]["difference"] == -1.0
    assert got["views"]["shuffled"]["low"] is None  # one video
    assert got["families"]["order"]["pairs"] == 2
    json.dumps(got, allow_nan=False)


def test_equal_answers_are_not_certainly_equal_models() -> None:
    records = [_record(str(i), i % 2 == 0) for i in range(20)]
    got = compare_records(records, records)
    assert got["difference"] == 0
    assert (got["low"], got["high"]) == (-wilson(0, 20)[1], wilson(0, 20)[1])


def test_evaluations_of_different_data_are_not_compared(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="share no example"):
        compare_records([_record("a")], [_record("b")])
    with pytest.raises(DataError, match="share no example"):
        compare_records([_record("a")], [_record("a", view="shuffled")])
    with pytest.raises(DataError, match="another gold answer"):
        compare_records([_record("a")], [_record("a", answer="C")])
    with pytest.raises(DataError, match="no such evaluation"):
        compare(tmp_path / "x.jsonl", tmp_path / "y.jsonl")


def test_an_answer_given_twice_is_an_error(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.jsonl", [_record("a"), _record("a", False)])
    with pytest.raises(DataError, match=r"\('a', 'ordered'\) occurs 2 times"):
        read_records(path)
