"""``kinograd data proxy`` as a user runs it, the teacher behind real HTTP."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from kinograd import cli
from kinograd.datasets.jsonl import read_examples
from kinograd.kinds import check_gold
from kinograd.types import Clip, Kind, Media
from kinograd.video.cut import media_from_json

from .conftest import GROUNDS, colour_of

Serve = Callable[..., Any]
See = Callable[[Media], Clip]


def run(task: str, source: Path, out: Path, *settings: str, **more: Any) -> int:
    words = ["data", "proxy", task, str(source), "-o", str(out), *settings]
    return cli.main([*words, *(f"{name}={_yaml(value)}" for name, value in more.items())])


def _yaml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def quarantine(out: Path) -> list[dict[str, Any]]:
    text = out.with_name(f"{out.stem}.quarantine.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def grounds(body: dict[str, Any]) -> list[str]:
    """The grounds of the frames in a request, in order."""
    seen = []
    for part in body["messages"][0]["content"]:
        if part["type"] == "image_url":
            data = base64.b64decode(part["image_url"]["url"].partition(",")[2])
            with Image.open(io.BytesIO(data)) as image:
                seen.append(colour_of(np.asarray(image).transpose(2, 0, 1)))
    return seen


def teacher(body: dict[str, Any]) -> str:
    """Sees grounds; of a hidden event it knows a part, of purple ones all, of cyan ones nothing."""
    prompt = body["messages"][0]["content"][-1]["text"]
    seen = grounds(body)
    ground = next((g for g in seen if g != "black"), None)
    if "one event of a longer video" in prompt:
        assert len({*seen}) == 1
        return f"The white bar wanders down the {ground} picture."
    if "black screen" in prompt:
        if ground is None or ground == "cyan":
            return "Somebody cooks soup."
        assert "black" in seen
        all_of_it = f"The white bar wanders down the {ground} picture"
        return all_of_it if ground == "purple" else f"The {ground} picture stays empty"
    if "Write one question" in prompt:
        assert len({*seen}) == 1
        if ground == "green":
            return "I would rather not."
        answer = f"It wanders down the {ground} picture."
        question = "What is done?" if ground == "blue" else f"What does the {ground} bar do?"
        return f"```json\n{json.dumps({'question': question, 'answer': answer})}\n```"
    about = re.search("|".join(GROUNDS), prompt)
    if about is None or about[0] == ground:
        return f"It wanders down the {ground} picture."
    return "NONE"


# --------------------------------------------------------------------- annotated


@pytest.mark.parametrize("task", ["dark-event", "mix-vid"])
def test_an_annotated_folder_becomes_rows(
    task: str, annotated: Path, clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, shown = tmp_path / "out" / "rows.jsonl", tmp_path / "shown"
    options = {"media_root": clips, "seed": 3}
    assert run(task, annotated, out, **options, render=shown) == 0
    assert f"{out}: 6 rows" in capsys.readouterr().out
    rows = read_examples(out)
    assert all(check_gold(r.kind, r.answer, r.options) is None for r in rows)
    assert quarantine(out) == []
    files = sorted(shown.iterdir())
    assert [f.suffix for f in files] == [".mp4"] * 6
    before = out.read_bytes()
    assert run(task, annotated, out, **options) == 0
    assert out.read_bytes() == before
    assert sorted(p.name for p in out.parent.iterdir()) == ["rows.jsonl", "rows.quarantine.jsonl"]


def test_splits_go_to_files_of_their_own(annotated: Path, clips: Path, tmp_path: Path) -> None:
    out, shown = tmp_path / "a.jsonl", tmp_path / "shown"
    options = {"media_root": clips, "test_fraction": 0.5}
    assert run("jigsaw", annotated, out, **options, render=shown) == 0
    train, test = read_examples(out), read_examples(tmp_path / "a.test.jsonl")
    assert len(train) + len(test) == 6 == len([*shown.glob("*.mp4")])
    assert {r.split for r in train} == {"train"}
    assert {r.split for r in test} == {"test"}


def test_a_clip_that_cannot_be_rendered_keeps_no_other_back(
    clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    media, shown = tmp_path / "media", tmp_path / "shown"
    media.mkdir()
    data = bytearray((clips / "red.mp4").read_bytes())
    middle = data.index(b"mdat") + 3000
    data[middle : middle + 3000] = b"\xff" * 3000
    (media / "bad.mp4").write_bytes(data)
    (media / "good.mp4").write_bytes((clips / "blue.mp4").read_bytes())
    assert run("jigsaw", media, tmp_path / "a.jsonl", render=shown) == 1
    assert "1 clips cannot be rendered" in capsys.readouterr().err
    assert len(read_examples(tmp_path / "a.jsonl")) == 2
    assert [p.name for p in shown.iterdir()] == ["good.mp4-jigsaw.mp4"]


def test_raw_clips_need_a_teacher_only_where_words_are_asked_for(
    clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for task in ("dark-event", "mix-vid"):
        assert run(task, clips, tmp_path / "a.jsonl") == 2
        assert "set teacher.urls" in capsys.readouterr().err
    assert not (tmp_path / "a.jsonl").exists()
    for task in ("jigsaw", "reversed", "removed", "needles"):
        out = tmp_path / f"{task}.jsonl"
        assert run(task, clips, out) == 0
        assert len(read_examples(out)) == (12 if task == "reversed" else 6)


def test_nothing_built_is_a_failure(clips: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.jsonl"
    assert run("removed", clips, out, gap=60) == 1
    assert len(quarantine(out)) == 6


# ------------------------------------------------------------------ raw, taught


def taught(server: Any) -> list[str]:
    return [f"teacher.urls=[{getattr(server, 'url', server)}]", "teacher.model=m"]


def test_hidden_events_of_raw_clips(serve: Serve, clips: Path, tmp_path: Path, see: See) -> None:
    """Captions and inferability from a teacher: nothing < context < event."""
    pytest.importorskip("scenedetect", reason="PySceneDetect: pip install 'kinograd[proxy]'")
    server = serve(teacher)
    out = tmp_path / "dark.jsonl"
    words = ["dark-event", clips, out, *taught(server), "longest=3", "samples=2", "workers=2"]
    assert run(*words) == 0
    rows = {r.extra["of"]: r for r in read_examples(out)}
    assert sorted(rows) == [f"{n}.mp4" for n in ("blue", "green", "red", "yellow")]
    for name, row in rows.items():
        assert row.answer == f"The white bar wanders down the {name[:-4]} picture."
        scores = row.extra["scores"]
        assert scores["nothing"] < scores["context"] < scores["event"] == 1.0
        assert not see(row.media[0]).frames.any(axis=(1, 2, 3)).all()
    why = {q["id"].split(".")[0]: q for q in quarantine(out)}
    assert why["purple"]["detail"].startswith("the event need not be inferred: nothing 0.")
    assert why["cyan"]["detail"].startswith("the context does not help: nothing 0.00, context 0.00")
    asked = len(server.bodies)
    before = out.read_bytes()
    assert run(*words) == 0  # all is in the journal
    assert (len(server.bodies), out.read_bytes()) == (asked, before)
    assert run(*words, "margin=0.9") == 1  # selects again
    assert len(server.bodies) == asked


def test_mixed_raw_clips(serve: Serve, clips: Path, tmp_path: Path) -> None:
    server = serve(teacher)
    out = tmp_path / "mix.jsonl"
    assert run("mix-vid", clips, out, *taught(server), "samples=1") == 0
    rows = read_examples(out)
    assert len(rows) == 4
    for row in rows:
        name = row.extra["of"].removesuffix(".mp4")
        assert row.kind is Kind.MIX_VID
        assert row.question.endswith(f"Question: What does the {name} bar do?")
        assert row.answer == f"It wanders down the {name} picture."
        assert media_from_json(row.extra["sources"][0]).cut.paths == (f"{name}.mp4",)
    gone = {q["id"].split(".")[0]: q for q in quarantine(out)}
    assert gone["green"]["reason"] == "teacher"
    assert gone["green"]["detail"].startswith("no question and answer in JSON")
    assert gone["blue"]["reason"] == "filtered"
    assert gone["blue"]["detail"].startswith("ambiguous: about the other clip it said 'It wanders")


@pytest.mark.parametrize("broken", ['{"question": "What is \\ud83d?", "answer": "x"}', "{" * 3000])
def test_json_that_is_none_costs_its_row_only(
    broken: str, serve: Serve, clips: Path, tmp_path: Path
) -> None:
    """Half a surrogate pair, or endless nesting, in what the teacher wrote."""

    def confused(body: dict[str, Any]) -> str:
        text = teacher(body)
        return broken if "```" in text and "red" in text else text

    server, out = serve(confused), tmp_path / "mix.jsonl"
    for _ in range(2):  # the journal holds nothing that a second start stumbles over
        assert run("mix-vid", clips, out, *taught(server), "samples=1") == 0
        assert len(read_examples(out)) == 3
        gone = {q["id"].split(".")[0]: q for q in quarantine(out)}
        assert gone["red"]["detail"].startswith("no question and answer in JSON")


@pytest.mark.parametrize("task", ["dark-event", "mix-vid"])
def test_a_teacher_that_dies_is_resumed_to_the_same_bytes(
    task: str, serve: Serve, annotated: Path, clips: Path, tmp_path: Path
) -> None:
    """What it answered is never asked again, within a row neither."""
    once, twice = tmp_path / "once.jsonl", tmp_path / "twice.jsonl"
    options = {"media_root": clips, "samples": 1}
    whole = serve(teacher)
    assert run(task, annotated, once, *taught(whole), **options) == 0
    answered = []

    def mortal(body: dict[str, Any]) -> str:
        if len(answered) == 4:
            dying.fault_rate = 1.0
        answered.append(body)
        return teacher(body)

    dying = serve(mortal, faults=("503",))
    hasty = ["teacher.max_retries=0", "teacher.give_up_after=1", "teacher.max_concurrency=1"]
    assert run(task, annotated, twice, *taught(dying), *hasty, **options) == 1
    assert not twice.exists()
    alive = serve(teacher)
    assert run(task, annotated, twice, *taught(alive), **options) == 0
    assert twice.read_bytes() == once.read_bytes()
    assert len(alive.bodies) + len(answered) == len(whole.bodies)


@pytest.fixture
def see(every_frame: See) -> See:
    return every_frame


def test_help_names_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["data", "proxy", "jigsaw", "--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"{name}=" in shown for name in ("pieces", "gap", "form", "test_fraction"))
    assert "teacher" not in shown


def test_published_annotations_become_hidden_events(clips: Path, tmp_path: Path) -> None:
    """COIN's own file; its split is kept, and a missing video is quarantined."""
    label = {"id": "1", "segment": [2.0, 4.0], "label": "season the fish"}
    database = {
        name: {"duration": 12.0, "subset": subset, "annotation": [label]}
        for name, subset in {"red": "training", "blue": "testing", "gone": "training"}.items()
    }
    source = tmp_path / "COIN.json"
    source.write_text(json.dumps({"database": database}), encoding="utf-8")
    out = tmp_path / "dark.jsonl"
    assert run("dark-event", source, out, media_root=clips, layout="{id}.mp4") == 0
    (row,), (held_out,) = read_examples(out), read_examples(tmp_path / "dark.test.jsonl")
    assert row.answer == held_out.answer == "season the fish"
    assert row.extra["event"] == [2.0, 4.0]
    assert [q["reason"] for q in quarantine(out)] == ["missing"]


def test_rows_without_a_reply_are_asked_again(serve: Serve, clips: Path, tmp_path: Path) -> None:
    out = tmp_path / "mix.jsonl"
    words = ["teacher.max_retries=0", "teacher.give_up_after=99", "samples=1"]
    flaky = serve(teacher, fault_rate=0.5, faults=("503",), seed=1)
    run("mix-vid", clips, out, *taught(flaky), *words)
    gone = [q["detail"].partition(":")[0] for q in quarantine(out)]
    assert 0 < gone.count("no reply") < 6
    assert run("mix-vid", clips, out, *taught(serve(teacher)), *words) == 0
    assert len(read_examples(out)) == 4


def test_a_model_may_judge_what_is_inferred(
    serve: Serve, annotated: Path, clips: Path, tmp_path: Path
) -> None:
    def judge(body: dict[str, Any]) -> str:
        labels = body["structured_outputs"]["choice"]
        text = json.dumps(body["messages"])
        right = "wanders down" in text
        return labels[0] if "soup" in text else labels[-1] if right else labels[len(labels) // 2]

    out = tmp_path / "dark.jsonl"
    judged = serve(judge)
    named = f"judge={{type: openai, urls: [{judged.url}], model: j, verdict: choice}}"
    words = [*taught(serve(teacher)), "samples=1", named]
    assert run("dark-event", annotated, out, *words, media_root=clips) == 0
    scores = [row.extra["scores"] for row in read_examples(out)]
    assert scores == [{"nothing": 0.0, "context": 0.5, "event": 1.0}] * 4
    assert len(quarantine(out)) == 2
