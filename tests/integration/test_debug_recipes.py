"""recipes/debug runs as its comments say: from an empty folder to reports, in seconds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kinograd import cli, files

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
DEBUG = RECIPES / "debug"
TWINS = sorted(p.relative_to(DEBUG).as_posix() for p in DEBUG.glob("*/*.yaml"))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the demo's debug recipe has run."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert cli.main(["demo", str(DEBUG / "demo.yaml"), "synthetic.workers=1"]) == 0
    return folder


@pytest.fixture(scope="module")
def foreign(home: Path) -> Path:
    """``home`` with the debug world in the published formats, as the guide makes them."""
    guide = (RECIPES.parent / "docs/guide/recipes.md").read_text()
    (code,) = [c for c in guide.split("```python\n") if "runs/debug/foreign" in c]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        exec(code.split("```")[0], {})
    return home


def test_the_demo(home: Path) -> None:
    summary = json.loads((home / "runs/debug/summary.json").read_text())
    assert list(summary["stages"]) == ["cold_start", "reinforced"]
    assert list(summary["controls"]) == ["more_sft", "answer_sft", "rft", "forced_think"]
    for stage in (summary["stages"] | summary["controls"]).values():
        assert set(stage["greedy"]) == {"ordered", "shuffled"}
    assert "reinforced minus rft" in summary["paired"]
    report = (home / "runs/debug/report.html").read_text()
    assert "cold_start" in report
    assert "http://" not in report.replace("http://www.w3.org", "")


@pytest.mark.parametrize(
    ("name", "verb", "left"),
    [
        ("sft", "sft", ["checkpoints/step-8/model/config.json", "eval/step-4.jsonl"]),
        ("grpo", "rl", ["checkpoints/step-4/model/config.json", "rollouts/step-3.jsonl"]),
        ("t_grpo", "rl", ["checkpoints/step-4/model/config.json", "rollouts/step-1.jsonl"]),
        ("eval", "eval", ["eval/held_out.jsonl"]),
    ],
)
def test_each_verb(
    home: Path, name: str, verb: str, left: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    assert cli.main([verb, str(DEBUG / f"{name}.yaml")]) == 0
    for file in left:
        assert (home / "runs/debug" / name / file).stat().st_size > 0
    metrics = files.read_records(home / "runs/debug" / name / "metrics.jsonl")
    assert all("nonfinite" not in row for row in metrics)


@pytest.mark.parametrize("twin", TWINS)
def test_each_published_recipe_by_its_twin(
    foreign: Path, twin: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(foreign)
    verb = twin.split("/")[0]
    assert cli.main([verb, str(RECIPES / twin), str(DEBUG / twin)]) == 0
    run = foreign / "runs/debug" / twin.removesuffix(".yaml")
    if verb == "eval":
        (answers,) = (run / "eval").glob("*.jsonl")
        assert [row["error"] for row in files.read_records(answers)] == 8 * [None]
        assert "beside " in capsys.readouterr().out
    else:
        assert (run / "checkpoints/step-2/model/config.json").is_file()
        assert [row["step"] for row in files.read_records(run / "metrics.jsonl")] == [1, 2]
        assert files.read_records(run / "quarantine.jsonl") == []


def test_direct_answers_and_a_clip_that_is_not_there(
    foreign: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(foreign)
    rows = json.loads((foreign / "runs/debug/foreign/eval_mvbench.json").read_text())
    rows[3]["path"] = "./clips/gone.mp4"
    Path("runs/debug/foreign/eval_damaged.json").write_text(json.dumps(rows))
    changed = ["prompt.mode=direct", "run.dir=runs/debug/direct", "eval.max_error_fraction=0.2"]
    changed.append("eval.data=[runs/debug/foreign/eval_damaged.json]")
    recipes = [str(f / "eval/video_r1_16.yaml") for f in (RECIPES, DEBUG)]
    assert cli.main(["eval", *recipes, *changed]) == 0
    found = files.read_records(Path("runs/debug/direct/eval/eval_damaged.jsonl"))
    assert [row["error"] is None for row in found] == [i != 3 for i in range(8)]


def test_every_debug_recipe_is_run_here() -> None:
    tested = {"demo", "sft", "grpo", "t_grpo", "eval"}
    assert {path.stem for path in DEBUG.glob("*.yaml")} == tested


def test_two_evaluations_are_compared(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(home)
    stages = [f"runs/debug/{s}-held-out/eval/held_out.jsonl" for s in ("cold_start", "reinforced")]
    assert cli.main(["eval", "compare", *stages]) == 0
    shown = capsys.readouterr().out
    assert "ordered" in shown
    assert "shuffled" in shown
    assert " 20 " in shown
