from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from tests import builders
from tests.builders import clip, grey_levels, rollout, score, video

from kinograd import files
from kinograd.config.schema import RlRecipe
from kinograd.runs.folder import RunFolder
from kinograd.types import (
    Clip,
    Group,
    Kind,
    KinogradError,
    Score,
    StopReason,
    Unscored,
    UsageError,
    View,
    ViewKind,
)


def _recipe(folder: Path, steps: int = 10) -> RlRecipe:
    sections = {
        "run": {"dir": str(folder)},
        "model": {"path": "tiny"},
        "data": {"train": ["a.jsonl"]},
        "rl": {"steps": steps},
    }
    return RlRecipe.model_validate(sections)


def _group(view: View = View(), twin: Group | None = None) -> Group:
    of = builders.example(
        "e1", Kind.MULTIPLE_CHOICE, "Which?", "B", [video()], ("x", "y"), source="s"
    )
    rollouts = [rollout("<answer>B</answer>", 3), rollout("hm", 2, StopReason.LENGTH)]
    scores = [score(1.0), Score.none(Unscored.TRUNCATED, "no answer", format=float("nan"))]
    return builders.group(rollouts, scores, of=of, view=view, twin=twin)


def _clip(frames: int, height: int = 56, width: int = 56) -> Clip:
    return clip(grey_levels(frames, height, width))


def test_a_new_folder_says_where_it_came_from(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "a"
    recipe = _recipe(folder)
    with RunFolder.open(recipe, folder, data_hashes={"a.jsonl": "00ff"}) as run:
        assert not run.resumed
    assert yaml.safe_load((folder / "recipe.yaml").read_text()) == recipe.model_dump(mode="json")
    (start,) = json.loads((folder / "env.json").read_text())["starts"]
    assert start["data"] == {"a.jsonl": "00ff"}
    assert start["packages"]["torch"] == torch.__version__
    assert start["cpu"]["threads"] == torch.get_num_threads()


def test_the_same_recipe_resumes_even_in_a_moved_folder(tmp_path: Path) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    RunFolder.open(_recipe(before), before).close()
    before.rename(after)
    with RunFolder.open(_recipe(after), after) as run:
        assert run.resumed
    assert len(json.loads((after / "env.json").read_text())["starts"]) == 2


def test_another_recipe_is_refused_with_the_keys_that_differ(tmp_path: Path) -> None:
    RunFolder.open(_recipe(tmp_path / "r"), tmp_path / "r").close()
    kept = {p: p.read_bytes() for p in (tmp_path / "r").iterdir()}
    other = RlRecipe.model_validate(
        _recipe(tmp_path / "r", steps=11).model_dump() | {"algo": {"type": "t_grpo"}}
    )
    with pytest.raises(UsageError) as caught:
        RunFolder.open(other, tmp_path / "r")
    text = str(caught.value)
    assert "rl.steps: 10 there, 11 now" in text
    assert 'algo.type: "grpo" there, "t_grpo" now' in text
    assert "algo.alpha: <absent> there, 0.3 now" in text
    assert "run.dir" in text.splitlines()[-1]
    assert {p: p.read_bytes() for p in (tmp_path / "r").iterdir()} == kept


@pytest.mark.parametrize("content", ["notes.txt", "recipe.yml", "checkpoints"])
def test_a_folder_of_other_things_is_refused_untouched(tmp_path: Path, content: str) -> None:
    (tmp_path / content).write_text("mine")
    with pytest.raises(UsageError, match="not a run folder"):
        RunFolder.open(_recipe(tmp_path), tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == [content]


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("")
    with pytest.raises(UsageError, match="is a file"):
        RunFolder.open(_recipe(tmp_path / "f"), tmp_path / "f")


def test_a_run_killed_before_its_recipe_was_written_starts_anew(tmp_path: Path) -> None:
    (tmp_path / ".lock").touch()
    (tmp_path / "recipe.yaml.1.0.partial").write_text("name")
    with RunFolder.open(_recipe(tmp_path), tmp_path) as run:
        assert not run.resumed


def test_a_second_writer_is_refused_until_the_first_dies(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from kinograd.config.schema import RlRecipe\n"
        "from kinograd.runs.folder import RunFolder\n"
        "recipe = RlRecipe.model_validate_json(sys.argv[2])\n"
        "run = RunFolder.open(recipe, Path(sys.argv[1])); print('open', flush=True); input()"
    )
    command = [sys.executable, "-c", code, str(tmp_path), _recipe(tmp_path).model_dump_json()]
    first = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert first.stdout is not None
    assert first.stdout.readline() == "open\n"
    with pytest.raises(UsageError, match="another process"):
        RunFolder.open(_recipe(tmp_path), tmp_path)
    first.kill()
    first.communicate()
    with RunFolder.open(_recipe(tmp_path), tmp_path) as run:
        assert run.resumed


def test_metrics_hold_any_scalar_and_show_what_is_not_finite(tmp_path: Path) -> None:
    with RunFolder.open(_recipe(tmp_path), tmp_path) as run:
        run.log(1, loss=torch.tensor(0.5), lr=np.float32(0.25), n=3, **{"time/rollout_s": 1.5})
        run.log(2, loss=torch.tensor(float("nan")), lr=float("inf"))
        with pytest.raises(TypeError, match="list"):
            run.log(3, loss=[1.0])
        with pytest.raises(ValueError, match="taken by the record"):
            run.log(3, **{"nonfinite": 1.0, "time": 2})
    first, second = files.read_records(tmp_path / "metrics.jsonl")
    assert first.pop("time") > 0
    assert first == {"step": 1, "loss": 0.5, "lr": 0.25, "n": 3, "time/rollout_s": 1.5}
    assert second["loss"] is None
    assert second["nonfinite"] == {"loss": "nan", "lr": "inf"}


def test_rollouts_keep_what_was_seen_said_and_why_it_has_no_score(tmp_path: Path) -> None:
    twin = _group(View(ViewKind.SHUFFLED))
    with RunFolder.open(_recipe(tmp_path), tmp_path) as run:
        strip = run.strip(_clip(4), View())
        groups = [_group(twin=twin), _group()]
        run.rollouts(5, groups, [np.array([0.5, np.nan]), None], {("e1", "ordered"): [strip]})
    rows = files.read_records(tmp_path / "rollouts" / "step-5.jsonl")

    keys = [(r["group"], r["view"], r["rollout"], r["advantage"]) for r in rows]
    assert keys == [
        (0, "ordered", 0, 0.5),
        (0, "ordered", 1, None),
        (0, "shuffled", 0, None),
        (0, "shuffled", 1, None),
        (1, "ordered", 0, None),
        (1, "ordered", 1, None),
    ]
    assert rows[0] == {
        "step": 5,
        "group": 0,
        "view": "ordered",
        "rollout": 0,
        "id": "e1",
        "kind": "multiple_choice",
        "source": "s",
        "question": "Which?",
        "options": ["x", "y"],
        "gold": "B",
        "text": "<answer>B</answer>",
        "parts": {"accuracy": 1.0, "format": 1.0},
        "value": 2.0,
        "unscored": None,
        "correct": True,
        "detail": "",
        "advantage": 0.5,
        "length": 3,
        "stop": "end",
        "strips": [strip],
    }
    assert rows[1]["value"] is None
    assert rows[1]["unscored"] == "truncated"
    assert rows[1]["parts"] == {"format": None}
    assert rows[2]["strips"] == []


def test_groups_and_advantages_must_match(tmp_path: Path) -> None:
    with RunFolder.open(_recipe(tmp_path), tmp_path) as run:
        with pytest.raises(ValueError, match="zip"):
            run.rollouts(1, [_group()], [])
        with pytest.raises(ValueError, match="zip"):
            run.rollouts(1, [_group()], [[0.0]])


def test_a_strip_shows_evenly_chosen_frames_once(tmp_path: Path) -> None:
    with RunFolder.open(_recipe(tmp_path), tmp_path) as run:
        name = run.strip(_clip(17), View(ViewKind.SHUFFLED), frames=5)
        assert run.strip(_clip(17), View(ViewKind.SHUFFLED), frames=5) == name
        assert run.strip(_clip(3), View(), frames=5) != name
        tall = run.strip(_clip(2, height=360, width=640), View())
    assert name.startswith("shuffled-")
    assert len(list((tmp_path / "strips").iterdir())) == 3
    picture = Image.open(tmp_path / "strips" / name)
    assert picture.size == (5 * 56 + 4 * 3, 56)
    centres = [picture.getpixel((28 + 59 * i, 28))[0] for i in range(5)]
    assert centres == pytest.approx([0, 63.75, 127.5, 191.25, 255], abs=3)
    assert Image.open(tmp_path / "strips" / tall).size == (2 * 160 + 3, 90)


def test_quarantine_names_an_example_once_across_resumes(tmp_path: Path) -> None:
    for _ in range(2):
        with RunFolder.open(_recipe(tmp_path), tmp_path) as run:
            run.quarantine("e1", "decode", "no video stream")
            run.quarantine("e1", "decode", "no video stream")
            run.quarantine("e1", "too_long")
    rows = files.read_records(tmp_path / "quarantine.jsonl")
    assert [(r["id"], r["reason"]) for r in rows] == [("e1", "decode"), ("e1", "too_long")]


def test_going_back_to_a_checkpoint_leaves_nothing_double(tmp_path: Path) -> None:
    with RunFolder.open(_recipe(tmp_path), tmp_path) as run:
        for step in range(1, 6):
            run.log(step, loss=1.0 / step)
            run.rollouts(step, [_group()], [None])
    (tmp_path / "eval").mkdir()
    for name in ("step-3", "step-4", "benchmark"):
        (tmp_path / "eval" / f"{name}.jsonl").touch()
    with (tmp_path / "metrics.jsonl").open("a") as stream:
        stream.write('{"step": 6, "lo')
    with RunFolder.open(_recipe(tmp_path), tmp_path) as run:
        run.truncate_to(3)
        run.log(4, loss=0.25)
    assert [r["step"] for r in files.read_records(tmp_path / "metrics.jsonl")] == [1, 2, 3, 4]
    left = sorted(p.stem for p in (tmp_path / "rollouts").iterdir())
    assert left == ["step-1", "step-2", "step-3"]
    assert sorted(p.stem for p in (tmp_path / "eval").iterdir()) == ["benchmark", "step-3"]


def test_a_run_does_not_split_when_its_folder_is_moved(tmp_path: Path) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    with RunFolder.open(_recipe(before), before) as run:
        run.log(1, loss=0.5)
        before.rename(after)
        for write in (
            lambda: run.log(2, loss=0.5),
            lambda: run.rollouts(2, [], []),
            lambda: run.quarantine("e1", "missing"),
            run.require_unmoved,
        ):
            with pytest.raises(KinogradError, match="was moved, replaced or deleted"):
                write()
        before.mkdir()  # another folder under the old name
        (before / ".lock").touch()
        with pytest.raises(KinogradError, match="was moved, replaced or deleted"):
            run.log(2, loss=0.5)
    assert [r["step"] for r in files.read_records(after / "metrics.jsonl")] == [1]
    assert list(before.iterdir()) == [before / ".lock"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("env.json", b"{"),
        ("env.json", b"\xff\xfe"),
        ("env.json", b"[]"),
        ("env.json", b'{"starts": [{}]}'),
        ("recipe.yaml", b"\xff\xfe\x00"),
        ("recipe.yaml", b"a: [1"),
    ],
)
def test_a_damaged_file_is_named_in_one_line(tmp_path: Path, name: str, content: bytes) -> None:
    RunFolder.open(_recipe(tmp_path), tmp_path).close()
    (tmp_path / name).write_bytes(content)
    with pytest.raises(KinogradError) as caught:
        RunFolder.open(_recipe(tmp_path), tmp_path)
    assert str(tmp_path / name) in str(caught.value)
    assert "damaged" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_lost_lines_of_the_metrics_are_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with RunFolder.open(_recipe(tmp_path), tmp_path) as run:
        for step in (1, 2, 4):
            run.log(step, loss=0.5)
        run.truncate_to(2)
        assert not caplog.records
        run.log(4, loss=0.5)
        run.truncate_to(4)
    (record,) = caplog.records
    assert "metrics.jsonl has lost lines: none for step 3" in record.message
