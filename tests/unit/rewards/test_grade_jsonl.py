from __future__ import annotations

import json
import subprocess
import sys

GOOD = "<think>hm</think><answer>{}</answer>"


def run(*lines: str, arguments: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kinograd.rewards.score", *arguments],
        input="".join(f"{line}\n" for line in lines),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def line(kind: str, answer: str, solution: str, **more: object) -> str:
    row = {"kind": kind, "completion": GOOD.format(answer), "solution": solution}
    return json.dumps({**row, **more})


def test_rows_in_rows_out() -> None:
    done = run(
        line("multiple_choice", "red", "B", options=["A. blue", "B. red"]),
        line("numerical", "3.0", "3", mode="published:video_r1"),
        "",
        line("MCQA", "B.", "<answer>B</answer>", mode="published:vidbridge", id=7),
        line("OCR", "red cat", "red dog", mode="published:video_r1"),
        line("dark_event", "he cooks", "he fries"),
        line("numerical", "3", "many"),
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert [json.loads(text) for text in done.stdout.splitlines()] == [
        {"value": 2.0, "parts": {"accuracy": 1.0, "answered": 1.0, "format": 1.0}, "reason": None},
        {"value": 1.0, "parts": {"accuracy": 0.0, "format": 1.0}, "reason": None},
        {"value": 1.0, "parts": {"accuracy": 1.0, "format": 1.0}, "reason": None},
        {"value": 1.5, "parts": {"accuracy": 0.5, "format": 1.0}, "reason": None},
        {"value": None, "parts": {"format": 1.0}, "reason": "judge_unavailable"},
        {"value": None, "parts": {"format": 1.0}, "reason": "parse"},
    ]  # fmt: skip


def test_bad_rows_are_named_and_the_rest_is_graded() -> None:
    done = run(
        line("multiple_choice", "B", "B"),
        "{not json",
        "[1]",
        '{"kind": "numerical", "completion": "x"}',
        line("telepathy", "B", "B"),
        line("numerical", "3", "3", mode="published:nobody"),
        line("ocr", "3", "3", mode="published:vidbridge"),
        "[" * 100_000,
        line("multiple_choice", "A", "B"),
    )
    assert done.returncode == 1
    results = [json.loads(text) for text in done.stdout.splitlines()]
    assert [r["value"] for r in results] == [2.0, *[None] * 7, 1.0]
    assert all(r["reason"] == "parse" and r["error"] for r in results[1:-1])
    errors = done.stderr.splitlines()
    assert [e.split(":")[0] for e in errors] == [f"line {n}" for n in range(2, 9)]
    assert "solution: Field required" in errors[2]
    assert "'dark_event'" in errors[3]
    assert "'published:vidbridge'" in errors[4]
    assert "no rule for the kind ocr" in errors[5]


def test_arguments_are_a_usage_error() -> None:
    assert run(arguments=("rows.jsonl",)).returncode == 2
    done = run(arguments=("--help",))
    assert done.returncode == 0
    assert "``solution``" in done.stdout
