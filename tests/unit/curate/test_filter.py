"""Difficulty by sampling: what is written into rows, what is dropped, what is asked again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests import builders

from kinograd import files
from kinograd.cli import main
from kinograd.config.load import dump_recipe
from kinograd.curate.filter import Rule, judge_row, record_of
from kinograd.datasets.jsonl import read_examples, write_examples
from kinograd.datasets.rows import Rejected
from kinograd.rollout.in_process import InProcessEngine
from kinograd.types import (
    Cut,
    Example,
    Group,
    Kind,
    Media,
    MediaType,
    Score,
    Unscored,
)

ROW = Example("r", Kind.NUMERICAL, "?", "3", (), extra={"a": 1})
CAPTION = replace(ROW, kind=Kind.CAPTION)


def record(*values: float, right: int = 0, unscored: int = 0) -> dict[str, Any]:
    return {"values": list(values), "right": right, "unscored": unscored}


def test_figures_are_written_into_the_row() -> None:
    found = judge_row(ROW, record(1, 0, 0, 1, 1, right=3), Rule(), "f:1")
    assert isinstance(found, Example)
    assert found.extra == pytest.approx(
        {"a": 1, "pass_rate": 0.6, "value_mean": 0.6, "value_std": 0.24**0.5}
    )


@pytest.mark.parametrize(
    ("row", "found", "rule", "why"),
    [
        (ROW, record(1, 1, right=2), Rule(), "always right"),
        (ROW, record(1, 1, right=2), Rule(drop_right=False), None),
        (ROW, record(0, 0), Rule(), None),
        (ROW, record(0, 0), Rule(drop_wrong=True), "always wrong"),
        (ROW, record(0, 1, right=1), Rule(drop_wrong=True), None),
        (ROW, record(1, right=1, unscored=1), Rule(), None),
        (ROW, record(unscored=2), Rule(drop_right=False), "unscored"),
        (CAPTION, record(0.2, 0.8, right=2), Rule(), None),
        (CAPTION, record(0.2, 0.8, right=2), Rule(measure="variance"), "similar captions"),
        (CAPTION, record(0.5, 0.6, right=2), Rule(), "similar captions"),
        (CAPTION, record(0.5, 0.6, right=2), Rule(caption_spread=0.0), None),
    ],
)
def test_rules(row: Example, found: dict[str, Any], rule: Rule, why: str | None) -> None:
    kept = judge_row(row, found, rule, "f:1")
    assert (kept.detail.partition(":")[0] if isinstance(kept, Rejected) else None) == why


def test_captions_are_measured_by_f1_others_by_accuracy() -> None:
    scores = (
        Score(9.0, {"recall": 0.5, "precision": 1.0, "accuracy": 1.0}, correct=True),
        Score(9.0, {"recall": 0.0, "precision": 0.0, "accuracy": 0.0}),
        Score.none(Unscored.TRUNCATED),
    )
    rollouts = [builders.rollout()] * 3
    captions = record_of(builders.group(rollouts, scores, of=CAPTION))
    assert captions == {"values": [pytest.approx(2 / 3), 0.0], "right": 1, "unscored": 1}
    assert record_of(builders.group(rollouts, scores, of=ROW))["values"] == [1.0, 0.0]


# ----------------------------------------------------------------------- the verb


@pytest.fixture
def words(recipe: Callable[..., Any], world: Path, tmp_path: Path) -> list[str]:
    """A command line that filters six rows, one of them without its clip."""
    rows = read_examples(world / "train.jsonl")[:6]
    rows[2] = replace(rows[2], media=(Media(MediaType.VIDEO, Cut.whole("gone.mp4")),))
    write_examples(tmp_path / "in.jsonl", rows)
    loaded = recipe("eval", {"eval": {"batch_size": 2, "sampling": {"max_new_tokens": 4}}})
    (tmp_path / "recipe.yaml").write_text(dump_recipe(loaded))
    where = [str(tmp_path / "in.jsonl"), "-o", str(tmp_path / "out.jsonl")]
    return ["data", "filter", str(tmp_path / "recipe.yaml"), *where, "samples=3"]


def test_every_row_is_sampled_once_and_other_rules_ask_nothing(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    generate = InProcessEngine.generate
    dies_after = 2

    def watched(self: InProcessEngine, requests: Any, *rest: Any, **options: Any) -> list[Group]:
        assert {r.n for r in requests} <= {3}
        assert rest[0].temperature == 1.0
        asked.extend(r.example.id for r in requests)
        if len(asked) > dies_after:
            raise KeyboardInterrupt
        return generate(self, requests, *rest, **options)

    monkeypatch.setattr(InProcessEngine, "generate", watched)
    assert main(words) == 130
    assert not (tmp_path / "out.jsonl").exists()
    first, dies_after = len(set(asked)), 99
    assert main(words) == 0
    rows = read_examples(tmp_path / "in.jsonl")
    readable = [r.id for i, r in enumerate(rows) if i != 2]
    assert asked == [*readable[:first], *readable[2:]]
    kept = read_examples(tmp_path / "out.jsonl")  # an untrained model is never right
    assert [e.id for e in kept] == readable
    assert {e.extra["pass_rate"] for e in kept} == {0.0}
    (told,) = files.read_records(tmp_path / "out.quarantine.jsonl")
    assert (told["id"], told["reason"]) == (rows[2].id, "clip")
    before = len(asked)
    assert main([*words, "drop_wrong=true"]) == 0
    assert (tmp_path / "out.jsonl").read_text() == ""
    assert len(asked) == before


def test_other_settings_need_another_journal(words: list[str], capsys: Any) -> None:
    assert main(words) == 0
    assert "1 left out: clip" in capsys.readouterr().out
    assert main([*words, "run.seed=5"]) == 2
    assert "other options" in capsys.readouterr().err
