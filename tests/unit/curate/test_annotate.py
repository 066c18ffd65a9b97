"""Rationales from a teacher over real sockets and real clips: what is asked, what is kept."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests import builders

from kinograd import files
from kinograd.config.load import load_section
from kinograd.config.teacher import AnnotateConfig
from kinograd.curate.annotate import annotate, asked_of, choose
from kinograd.curate.journal import Journal, digest_of
from kinograd.curate.selection import Selection
from kinograd.datasets.jsonl import read_examples
from kinograd.datasets.rows import Reason, Rejected
from kinograd.endpoint.teacher import Teacher
from kinograd.judge import build_judges
from kinograd.rewards.rubric import grade_text
from kinograd.types import (
    Cut,
    Example,
    Group,
    Kind,
    KinogradError,
    Media,
    MediaType,
    Score,
    Unscored,
    UsageError,
)
from kinograd.video.clip_store import ClipStore

Serve = Callable[..., Any]
Run = Callable[..., Selection]


def row(number: int, **changes: Any) -> Example:
    plain = Example(f"r{number}", Kind.NUMERICAL, f"Is it {number}?", str(number), ())
    return replace(plain, **changes)


def number(body: dict[str, Any]) -> str:
    found = re.search(r"Is it (\d+)\?", body["messages"][-1]["content"][-1]["text"])
    assert found
    return found[1]


def right(body: dict[str, Any]) -> str:
    return f"<think>I count {number(body)}.</think>\n<answer>{number(body)}</answer>"


@pytest.fixture
def run(world: Path, tmp_path: Path) -> Run:
    def annotated(server: Any, rows: list[Any], *overrides: str) -> Selection:
        url = getattr(server, "url", server)
        given = {"teacher": {"urls": [url], "model": "m"}, "media_root": str(world)}
        quick = ["video={nframes: 4, max_pixels: 3136, min_pixels: 784, workers: 0}"]
        config = load_section(AnnotateConfig, given, [*quick, "teacher.max_retries=1", *overrides])
        with (
            ClipStore(config.video, world, 28) as store,
            Journal(tmp_path / "journal", digest_of([], asked_of(config))) as journal,
        ):
            return annotate(
                lambda: iter(rows),
                "in.jsonl",
                tmp_path / "out.jsonl",
                config,
                Teacher(config.teacher, backoff_s=0.005),
                store,
                journal,
                build_judges(config.judges),
            )

    return annotated


@pytest.fixture
def told(tmp_path: Path) -> Callable[[], dict[str, tuple[str, str]]]:
    """Quarantined rows: id to reason and the detail's head."""
    file = tmp_path / "out.quarantine.jsonl"
    return lambda: {
        r["id"]: (r["reason"], r["detail"].partition(":")[0]) for r in files.read_records(file)
    }


def test_a_row_gets_its_rationale_from_the_published_question(
    run: Run, serve: Serve, world: Path, tmp_path: Path
) -> None:
    server = serve(right)
    clip = read_examples(world / "train.jsonl")[0].media
    outcome = run(server, [row(3, media=clip, question="See <video>. Is it 3?", extra={"a": 1})])
    assert outcome.kept == 1
    (found,) = read_examples(tmp_path / "out.jsonl")
    assert found.rationale == "I count 3."
    note = {"model": "m", "reward": 1.0, "samples": 1, "right": 1}
    assert found.extra == {"a": 1, "annotation": note}
    (body,) = server.bodies
    first, *frames, last = body["messages"][0]["content"]
    assert first["text"] == "See "
    assert [f["type"] for f in frames] == ["image_url"] * 4
    assert last["text"].startswith(". Is it 3?\nPlease think about this question")
    assert "between the <think> and </think> tags" in last["text"]
    sampling = {k: body[k] for k in ("temperature", "top_p", "max_tokens")}
    assert sampling == {"temperature": 1.0, "top_p": 0.95, "max_tokens": 512}


def test_every_row_is_kept_or_told_about(
    run: Run, serve: Serve, told: Callable[[], Any], tmp_path: Path
) -> None:
    def reply(body: dict[str, Any]) -> str:
        match number(body):
            case "1":
                return "<think>Surely.</think><answer>2</answer>"
            case "2":
                return "<think>So.</think> <think>Or so.</think><answer>2</answer>"
            case _:
                return right(body)

    gone = (Media(MediaType.VIDEO, Cut.whole("gone.mp4")),)
    bad = Rejected("in.jsonl:6", Reason.JSON, "not JSON")
    judged = row(9, kind=Kind.DARK_EVENT)
    rows = [row(0), row(1), row(2), row(3, media=gone), judged, bad, row(0), row(4)]
    server = serve(reply)
    outcome = run(server, rows)
    assert [e.id for e in read_examples(tmp_path / "out.jsonl")] == ["r0", "r4"]
    assert told() == {
        "r1": ("teacher", "wrong"),
        "r2": ("teacher", "no single think block"),
        "r3": ("clip", told()["r3"][1]),
        "r9": ("kind", told()["r9"][1]),
        None: ("json", "not JSON"),
        "r0": ("duplicate", "the id was already used at in.jsonl"),
    }
    assert outcome.left_out == {
        "wrong": 1, "no single think block": 1, "clip": 1, "kind": 1, "json": 1, "duplicate": 1,
    }  # fmt: skip
    assert len(server.bodies) == 4


def test_another_threshold_selects_anew_without_asking(run: Run, serve: Serve) -> None:
    reply = "<think>About ten.</think><answer>9</answer>"
    server = serve(lambda body: reply)
    rows = [row(10, kind=Kind.REGRESSION)]
    assert run(server, rows, "threshold=0.95").kept == 0
    assert run(server, rows, "threshold=0.8").kept == 1
    assert len(server.bodies) == 1
    assert run(server, [*rows, row(9)]).kept == 2
    changed = [row(10, kind=Kind.REGRESSION, answer="9")]
    assert run(server, changed).kept == 1
    assert len(server.bodies) == 3
    with pytest.raises(UsageError, match="other options"):
        run(server, rows, "prompt.template=plain")


def test_several_samples_must_agree(run: Run, serve: Serve, tmp_path: Path) -> None:
    def reply(body: dict[str, Any]) -> str:
        left = body.get("n", 1)  # 3, 2, 1: the first reply is wrong, later ones are right
        good = left < 3 if number(body) == "1" else left < 2
        return f"<think>Try {left}.</think><answer>{number(body) if good else 77}</answer>"

    outcome = run(serve(reply), [row(1), row(2)], "samples=3", "agree=0.6")
    assert outcome.left_out == {"no agreement": 1}
    (found,) = read_examples(tmp_path / "out.jsonl")
    assert (found.id, found.rationale) == ("r1", "Try 2.")
    assert found.extra["annotation"]["right"] == 2


def test_a_judge_grades_the_kinds_that_need_one(run: Run, serve: Serve, tmp_path: Path) -> None:
    dark = row(1, kind=Kind.DARK_EVENT, answer="salts the fish")
    reply = "<think>Fish.</think><answer>salts the fish</answer>"
    judge = ["judges.j={type: lexical}", "reward.judges.dark_event=j"]
    assert run(serve(lambda body: reply), [dark], *judge).kept == 1
    (found,) = read_examples(tmp_path / "out.jsonl")
    assert found.extra["annotation"]["reward"] == 2.0


def test_rows_without_an_answer_fail_the_command_and_are_asked_again(
    run: Run, serve: Serve, told: Callable[[], Any], tmp_path: Path
) -> None:
    rows = [row(i) for i in range(8)]
    broken = serve(right, fault_rate=0.5, seed=3, faults=("garbage", "no_choices"))
    with pytest.raises(KinogradError, match="of 8 rows got no answer"):
        run(broken, rows, "max_failed_fraction=0.0")
    kept = {e.id for e in read_examples(tmp_path / "out.jsonl")}
    missing = {r.id for r in rows} - kept
    assert 0 < len(missing) < 8
    assert told() == dict.fromkeys(missing, ("teacher", "no answer"))
    server = serve(right)
    assert run(server, rows).kept == 8
    assert {f"r{number(b)}" for b in server.bodies} == missing
    assert [e.id for e in read_examples(tmp_path / "out.jsonl")] == [r.id for r in rows]
    assert told() == {}


def test_nothing_kept_is_a_failure(shelf: Any, tmp_path: Path) -> None:
    rows = shelf.write(tmp_path / "q.jsonl", [shelf.row("a", "gone.mp4")])
    words = ["teacher.urls=[http://127.0.0.1:1/v1]", "teacher.model=m", f"media_root={tmp_path}"]
    with pytest.raises(KinogradError, match="no row was kept"):
        shelf.run("annotate", rows, "-o", tmp_path / "out.jsonl", *words)
    assert (tmp_path / "out.jsonl").read_bytes() == b""


# ---------------------------------------------------------------------- choosing

CONFIG = AnnotateConfig.model_validate(
    {"teacher": {"urls": ["http://x"], "model": "m"}, "media_root": ".", "agree": 0.5}
)
GOOD = "<think>Three.</think><answer>3</answer>"


def graded(*texts: str) -> Group:
    scores = [grade_text(Kind.NUMERICAL, t, "3") for t in texts]
    return builders.group([builders.rollout(t) for t in texts], scores, of=row(3))


@pytest.mark.parametrize(
    ("texts", "cut", "why"),
    [
        (["<think>3</think><answer>4</answer>"], [False], "wrong"),
        ([GOOD], [True], "cut off"),
        ([GOOD, "?", "?"], [False] * 3, "no agreement"),
        (["<answer>3</answer>"], [False], "no single think block"),
        (["<think></think><answer>3</answer>"], [False], "no single think block"),
        (["<think>a<think>b</think><answer>3</answer>"], [False], "no single think block"),
        (["<answer>3</answer><think>So.</think>"], [False], "wrong"),
        ([""], [False], "wrong"),
    ],
)
def test_what_is_left_out_and_why(texts: list[str], cut: list[bool], why: str) -> None:
    found = choose(graded(*texts), cut, "f:1", CONFIG)
    assert isinstance(found, Rejected)
    assert (found.where, found.id) == ("f:1", "r3")
    assert found.detail.partition(":")[0] == why


def test_the_first_right_and_well_formed_reply_is_taken() -> None:
    texts = ["<answer>3</answer>", "<think>No.</think><answer>4</answer>", GOOD, GOOD[:7] + GOOD]
    found = choose(graded(*texts), [False] * 4, "f:1", CONFIG)
    assert isinstance(found, Example)
    assert found.rationale == "Three."


def test_what_nobody_could_grade_is_not_wrong() -> None:
    group = replace(graded("x"), scores=(Score.none(Unscored.JUDGE_TIMEOUT, "late"),))
    found = choose(group, [False], "f:1", CONFIG)
    assert isinstance(found, Rejected)
    assert found.detail == "not graded: late"
