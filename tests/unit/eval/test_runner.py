"""Evaluations: every question once, whatever happens in between."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from kinograd import files
from kinograd.budget import TooManyFailures
from kinograd.config.rollout import InProcess
from kinograd.config.rollout import SamplingConfig as Sampling
from kinograd.config.schema import EvalConfig, ModelConfig, PromptConfig, RewardConfig
from kinograd.config.video import VideoConfig
from kinograd.datasets.jsonl import read_examples
from kinograd.eval.metrics import read_records
from kinograd.eval.runner import evaluate
from kinograd.models.load import load
from kinograd.models.reader import Reader
from kinograd.policy import Policy
from kinograd.rewards.score import score_groups
from kinograd.rollout.engine import Request
from kinograd.rollout.in_process import InProcessEngine
from kinograd.types import Cut, DataError, Example, Group, Media, MediaType
from kinograd.video.clip_store import ClipStore

Run = Callable[..., dict[str, Any]]


class Watched:
    """An engine that notes what it was asked, and dies when told to."""

    def __init__(self, engine: InProcessEngine) -> None:
        self.engine = engine
        self.asked: list[tuple[str, str]] = []
        self.dies_after = 10**9

    def generate(self, requests: Sequence[Request], *rest: Any, **options: Any) -> list[Group]:
        self.dies_after -= len(requests)
        if self.dies_after < 0:
            raise KeyboardInterrupt
        self.asked += [(r.example.id, r.view.name) for r in requests]
        return self.engine.generate(requests, *rest, **options)


@pytest.fixture(scope="module")
def model(tiny: Path):
    return load(ModelConfig(path=str(tiny), device="cpu"))


@pytest.fixture
def engine(model) -> Watched:
    return Watched(InProcessEngine(model, InProcess()))


@pytest.fixture
def run(model, world: Path, engine: Watched, tmp_path: Path) -> Iterator[Run]:
    video = VideoConfig(nframes=8, min_pixels=784, max_pixels=3136, workers=0)
    with ClipStore(video, world, model.geometry.size_factor) as store:
        grade = partial(score_groups, config=RewardConfig(), judges={})
        reader = Reader(model, store, PromptConfig(template="plain"), seed=0)

        def evaluated(examples: Sequence[Example], out: str = "e.jsonl", **config: Any):
            sampling = Sampling(max_new_tokens=6, temperature=config.pop("temperature", 0.0))
            settings = EvalConfig(**{"batch_size": 4, "sampling": sampling} | config)
            policy = Policy(model, engine, reader, reader)
            return evaluate(policy, examples, settings, grade, tmp_path / out)

        yield evaluated


@pytest.fixture(scope="module")
def examples(world: Path) -> list[Example]:
    return read_examples(world / "held_out.jsonl")


def broken(example: Example) -> Example:
    return replace(example, media=(Media(MediaType.VIDEO, Cut.whole("gone.mp4")),))


def rows(path: Path) -> dict[tuple[str, str], dict[str, Any]]:
    found = files.read_records(path)
    keyed = {(r["id"], r["view"]): r for r in found}
    assert len(keyed) == len(found)
    return keyed


def test_every_question_under_every_view_once(run: Run, engine, examples, tmp_path) -> None:
    figures = run(examples, views=["ordered", "shuffled", "blank"])
    expected = {(e.id, v) for e in examples for v in ("ordered", "shuffled", "blank")}
    found = rows(tmp_path / "e.jsonl")
    assert found.keys() == expected == set(engine.asked)
    assert len(engine.asked) == len(expected)
    row = found[examples[0].id, "blank"]
    assert row["answer"] == examples[0].answer
    assert row["family"] == examples[0].extra["family"]
    assert row["video"] == examples[0].media[0].cut.paths[0]
    assert row["length"] == 6
    assert row["stop"] == "length"
    assert row["error"] is None
    assert figures["n"] == figures["scored"] == 10
    assert figures["view"] == "ordered"
    assert set(figures["views"]) == {"ordered", "shuffled", "blank"}
    assert set(figures["gaps"]) == {"shuffled", "blank"}
    assert set(figures["by"]["family"]) == {e.extra["family"] for e in examples}


def test_an_interrupted_evaluation_asks_only_what_is_left(
    run: Run, engine, examples, tmp_path
) -> None:
    whole = run(examples, "whole.jsonl", views=["ordered", "reversed"])
    engine.asked.clear()
    engine.dies_after = 14
    with pytest.raises(KeyboardInterrupt):
        run(examples, views=["ordered", "reversed"])
    path = tmp_path / "e.jsonl"
    done = set(rows(path))
    assert len(done) == 14
    with path.open("a") as stream:  # what a kill leaves of a line
        stream.write('{"id": "held_out-0000')
    engine.dies_after = 10**9
    assert run(examples, views=["ordered", "reversed"]) == whole
    assert rows(path) == rows(tmp_path / "whole.jsonl")
    assert len(engine.asked) == 20 == len(set(engine.asked))
    engine.asked.clear()
    assert run(examples, views=["ordered", "reversed"]) == whole
    assert engine.asked == []


def test_one_bad_clip_harms_its_own_row(run: Run, examples, tmp_path) -> None:
    run(examples, "good.jsonl")
    damaged = [*examples[:3], broken(examples[3]), *examples[4:]]
    figures = run(damaged, max_error_fraction=0.1)
    good, found = rows(tmp_path / "good.jsonl"), rows(tmp_path / "e.jsonl")
    bad = found.pop((examples[3].id, "ordered"))
    assert bad["error"].startswith("missing: ")
    assert "gone.mp4" in bad["error"]
    assert bad["value"] is None
    assert bad["unscored"] is None
    assert bad["correct"] is False
    assert found == {k: v for k, v in good.items() if k != (examples[3].id, "ordered")}
    assert (figures["n"], figures["scored"], figures["errors"]) == (10, 9, 1)
    assert figures["accuracy"] == figures["correct"] / 9
    assert figures["at_least"] == figures["correct"] / 10


def test_a_batch_of_nothing_but_bad_clips(run: Run, engine, examples) -> None:
    figures = run([broken(e) for e in examples[:5]], max_error_fraction=1.0)
    assert engine.asked == []
    assert figures["errors"] == figures["n"] == 5
    assert figures["accuracy"] is None


def test_too_many_bad_clips_are_an_error_once_all_is_recorded(run: Run, examples, tmp_path) -> None:
    damaged = [*[broken(e) for e in examples[:2]], *examples[2:]]
    with pytest.raises(TooManyFailures, match="2 of 10 examples could not be read") as caught:
        run(damaged, max_error_fraction=0.1)
    assert "gone.mp4" in str(caught.value)
    assert len(rows(tmp_path / "e.jsonl")) == 10


def test_a_mended_clip_is_asked_again(run: Run, engine, examples, tmp_path) -> None:
    damaged = [*examples[:3], broken(examples[3]), *examples[4:]]
    with pytest.raises(TooManyFailures):
        run(damaged, max_error_fraction=0.0)
    engine.asked.clear()
    figures = run(examples, max_error_fraction=0.0)
    assert engine.asked == [(examples[3].id, "ordered")]
    assert (figures["n"], figures["errors"]) == (10, 0)
    run(examples, "good.jsonl")
    # in the order of the data, to the byte
    assert (tmp_path / "e.jsonl").read_bytes() == (tmp_path / "good.jsonl").read_bytes()


def test_answers_do_not_depend_on_batches(run: Run, examples, tmp_path) -> None:
    for size in (1, 3, 64):
        run(examples, f"{size}.jsonl", batch_size=size, temperature=1.0, views=["shuffled"])
    answers = [rows(tmp_path / f"{size}.jsonl") for size in (1, 3, 64)]
    assert answers[0] == answers[1] == answers[2]


def test_all_wrong_has_an_interval(run: Run, examples) -> None:
    """An untrained model never says the gold answer."""
    figures = run(examples)
    assert figures["accuracy"] == figures["low"] == 0
    assert 0 < figures["high"] < 0.5
    assert figures["unscored"] == {}


@pytest.mark.parametrize(
    "line", ['{"step": 1, "loss": 0.5}', '{"id": "a"}', '{"id": "a", "view": "x"}']
)
def test_what_is_no_evaluation_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(DataError, match=r"metrics\.jsonl:1: not a record of an evaluation"):
        read_records(path)
