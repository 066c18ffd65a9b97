"""What a user can get wrong: one clear message each, status 2 for usage and 1 for failure."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kinograd import cli
from kinograd.config.synthetic import SyntheticConfig
from kinograd.synthetic.build import build
from kinograd.synthetic.tiny_model import make_tiny

RECIPE = """\
run: {{dir: {run}}}
model: {{path: {model}}}
data: {{train: [{rows}], media_root: {root}}}
video: {{nframes: 4, min_pixels: 784, max_pixels: 784, workers: 0}}
prompt: {{template: plain}}
{method}
"""
SFT = "sft: {steps: 1, batch_size: 2}"
RL = "rl: {steps: 1, prompts_per_step: 2, group_size: 2}\nsampling: {max_new_tokens: 4}"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with rows.jsonl, its clips, and a tiny model in model/."""
    folder = tmp_path_factory.mktemp("world")
    build(SyntheticConfig(families=["order"], splits={"rows": 4}, workers=1), folder)
    make_tiny(folder / "model", "0.8m")
    return folder


@pytest.fixture
def recipe(world: Path, tmp_path: Path) -> Callable[..., Path]:
    """Write a recipe over the world; ``rows`` may be text to train on instead."""

    def write(method: str = SFT, rows: str | None = None, **parts: object) -> Path:
        data = world / "rows.jsonl"
        if rows is not None:
            data = tmp_path / "rows.jsonl"
            data.write_text(rows)
        known = {"run": tmp_path / "run", "model": world / "model", "rows": data, "root": world}
        path = tmp_path / "recipe.yaml"
        path.write_text(RECIPE.format(method=method, **{**known, **parts}))
        return path

    return write


@pytest.fixture
def fails(capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command that has to fail with ``status``; returns what it complains of."""

    def run(status: int, *words: object) -> str:
        capfd.readouterr()
        assert cli.main([str(w) for w in words]) == status
        said = capfd.readouterr().err
        assert "Traceback" not in said
        assert said.count("kinograd: ") == 1, said
        return said[said.index("kinograd: ") :]

    return run


def row(world: Path, **changes: object) -> str:
    """The first row of the world with some keys changed."""
    first = json.loads((world / "rows.jsonl").read_text().splitlines()[0])
    return json.dumps(first | changes) + "\n"


def test_rows(recipe, fails, world: Path) -> None:
    for changes, hint in [
        ({"kind": "multiple_choise"}, "multiple_choice"),
        ({"anser": "x"}, "anser"),
        ({"media": {}}, "media"),
    ]:
        complaint = fails(1, "sft", recipe(rows=row(world, **changes)))
        assert "rows.jsonl:1" in complaint
        assert hint in complaint


def test_data_files(recipe, fails, world: Path, tmp_path: Path) -> None:
    assert "rows.jsonl: holds no rows" in fails(1, "sft", recipe(rows=""))
    missing = fails(1, "sft", recipe(rows=None), f"data.train=[{tmp_path / 'none.jsonl'}]")
    assert "none.jsonl" in missing
    assert "data.train" in fails(2, "sft", recipe(), "data.train=[]")


@pytest.mark.parametrize("path", ["gone.mp4", "../outside.mp4"])
@pytest.mark.parametrize("method", [SFT, RL], ids=["sft", "rl"])
def test_media_that_cannot_be_read_stop_the_run(
    method: str, path: str, recipe, fails, world: Path, tmp_path: Path
) -> None:
    media = [{"type": "video", "path": path}]
    complaint = fails(1, method.split(":")[0], recipe(method, rows=row(world, media=media)))
    assert re.search(r"(\d) of \1 examples could not be read", complaint)
    assert "quarantine.jsonl" in complaint
    assert path in complaint
    assert path in (tmp_path / "run" / "quarantine.jsonl").read_text()


def test_models(recipe, fails, world: Path, tmp_path: Path) -> None:
    assert "no-model" in fails(2, "sft", recipe(model=tmp_path / "no-model"))
    other = tmp_path / "bert"
    shutil.copytree(world / "model", other)
    (other / "config.json").write_text('{"model_type": "bert"}')
    assert "bert" in fails(2, "sft", recipe(model=other))


def test_a_run_folder_is_never_overwritten(recipe, fails, tmp_path: Path, world: Path) -> None:
    assert cli.main(["sft", str(recipe())]) == 0
    before = sorted(p.name for p in (tmp_path / "run").rglob("*"))
    assert "optim.lr: 1e-06 there, 0.5 now" in fails(2, "sft", recipe(), "optim.lr=0.5")
    foreign = tmp_path / "notes"
    foreign.mkdir()
    (foreign / "thesis.tex").write_text("mine")
    assert "notes" in fails(2, "sft", recipe(run=foreign))
    assert sorted(p.name for p in (tmp_path / "run").rglob("*")) == before
    assert [p.name for p in foreign.iterdir()] == ["thesis.tex"]


def test_a_demo_reads_every_stage_before_it_starts(fails, tmp_path: Path) -> None:
    here = f"dir={tmp_path / 'demo'}"
    said = fails(2, "demo", here, "stages.reinforced.optim.lrr=1")
    assert "stages.reinforced: optim.lrr: unknown key; did you mean 'lr'?" in said
    assert "stages.reinforced" in fails(2, "demo", "--dry-run", "stages.reinforced.method=eval")
    assert "evaluate.data" in fails(2, "demo", here, "evaluate.data=[]")
    assert not (tmp_path / "demo").exists()


def test_eval(recipe, fails, world: Path, tmp_path: Path) -> None:
    path = recipe("method: eval")
    assert "eval.data" in fails(2, "eval", path)
    assert "none.jsonl" in fails(1, "eval", path, f"eval.data=[{tmp_path / 'none.jsonl'}]")
    assert "two files" in fails(2, "eval", "compare", "a.jsonl")
    assert "a.jsonl" in fails(1, "eval", "compare", tmp_path / "a.jsonl", tmp_path / "b.jsonl")


def test_ask(fails, world: Path, tmp_path: Path) -> None:
    model = world / "model"
    assert "gone.mp4" in fails(1, "ask", model, tmp_path / "gone.mp4", "What?")
    (tmp_path / "text.mp4").write_text("not a video")
    assert "text.mp4" in fails(1, "ask", model, tmp_path / "text.mp4", "What?")
    assert "no-model" in fails(2, "ask", tmp_path / "no-model", tmp_path / "text.mp4", "What?")


@pytest.mark.parametrize(
    "wrong", ["--dtype=float16", "--max-new-tokens=0", "--temperature=-1", "--hide=3"]
)
def test_options_of_ask(world: Path, capfd: pytest.CaptureFixture[str], wrong: str) -> None:
    assert cli.main(["ask", str(world / "model"), "clip.mp4", "What?", wrong]) == 2
    said = capfd.readouterr().err
    assert wrong.split("=")[0] in said
    assert "Traceback" not in said


def test_interrupt_and_resume(recipe, tmp_path: Path) -> None:
    """Ctrl-C in the middle of a run: status 130, and the same command finishes it."""
    path = recipe("sft: {steps: 12, batch_size: 2}")
    code = (
        "import signal, sys; from kinograd.cli import main; "
        # a child of a background shell would ignore SIGINT
        "signal.signal(signal.SIGINT, signal.default_int_handler); sys.exit(main())"
    )
    command = [sys.executable, "-c", code, "sft", str(path), "run.save_every=1"]
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    log = tmp_path / "run" / "metrics.jsonl"
    while process.poll() is None and not (log.exists() and log.read_text().count("\n") >= 3):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    said = process.communicate()[1]
    assert process.returncode == 130, said
    assert "interrupted; run the same command again to continue" in said
    assert "Traceback" not in said
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    steps = [json.loads(line)["step"] for line in log.read_text().splitlines()]
    assert steps == sorted(set(steps))
    assert steps[-1] == 12


def test_several_processes_are_refused_instead_of_training_the_same_thing_twice(
    recipe: Callable[..., Path], fails: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert "one process for now" in fails(2, "sft", recipe())
