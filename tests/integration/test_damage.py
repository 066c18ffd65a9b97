"""Damaged models, runs, clips and disks: named in one line, and nothing is lost by them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

import kinograd
from kinograd import cli, files
from kinograd.eval.recipe import evaluate_checkpoint
from kinograd.train import checkpoint
from kinograd.train.rl import train_rl
from kinograd.train.sft import train_sft
from kinograd.types import KinogradError, UsageError

Recipe = Callable[..., Any]


# --------------------------------------------------------------------- models


def cut(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def without_a_weight(path: Path) -> None:
    weights = load_file(path)
    del weights[next(n for n in weights if "visual" in n)]
    save_file(weights, path, metadata={"format": "pt"})


def with_a_misshapen_weight(path: Path) -> None:
    weights = load_file(path)
    weights[next(n for n in weights if "norm" in n)] = torch.ones(3)
    save_file(weights, path, metadata={"format": "pt"})


MODELS: dict[str, tuple[Callable[[Path], None], str]] = {
    "half a weight file": (lambda m: cut(m / "model.safetensors"), "cannot be loaded"),
    "no weight file": (lambda m: (m / "model.safetensors").unlink(), "no file named model"),
    "a weight missing": (
        lambda m: without_a_weight(m / "model.safetensors"),
        "lacks 1 of its weights (model.visual.",
    ),
    "a weight misshapen": (
        lambda m: with_a_misshapen_weight(m / "model.safetensors"),
        "cannot be loaded",
    ),
    "half a config": (lambda m: cut(m / "config.json"), "not a valid JSON"),
    "a config of nothing": (lambda m: (m / "config.json").write_text("{}"), "Unrecognized model"),
    "another architecture": (
        lambda m: (m / "config.json").write_text('{"model_type": "gpt2"}'),
        "GPT2Config",
    ),
    "half a tokenizer": (lambda m: cut(m / "tokenizer.json"), "cannot be loaded"),
    "no tokenizer": (
        lambda m: [(m / f"tokenizer{n}.json").unlink() for n in ("", "_config")],
        "holds no tokenizer that fits",
    ),
}


@pytest.mark.parametrize("harm", MODELS)
def test_a_model_is_whole_or_refused(
    recipe_tree: Callable[..., dict[str, Any]],
    tiny: Path,
    tmp_path: Path,
    harm: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Nothing is initialised at random in silence, and no run folder is begun."""
    shutil.copytree(tiny, tmp_path / "model")
    damage, said = MODELS[harm]
    damage(tmp_path / "model")
    path = tmp_path / "recipe.yaml"
    path.write_text(
        yaml.safe_dump(recipe_tree("sft", {"model": {"path": str(path.parent / "model")}}))
    )
    assert cli.main(["sft", str(path)]) == 2
    complaint = capfd.readouterr().err
    assert "Traceback" not in complaint
    line = complaint[complaint.index("kinograd: ") :]
    assert line.count("\n") == 1
    assert f"model.path: {tmp_path / 'model'}" in line
    assert said in line
    assert not (tmp_path / "sft").exists()


@pytest.mark.parametrize(
    ("over", "said"),
    [
        ({"model": {"device": "gpu"}}, "model.device: 'gpu'"),
        ({"model": {"path": "nobody/no-such-model"}}, "nothing is downloaded"),
        ({"model": {"lora": {"targets": ["q_prj"]}}}, "model.lora.targets"),
        ({"data": {"train": []}}, "data.train"),
        ({"sampling": {"temperature": 0.0}}, "sampling.temperature"),
        ({"algo": {"kl": {"beta": 0.1}}, "rl": {"reference": "none"}}, "rl.reference"),
        ({"algo": {"kl": {"beta": 0.1}}, "rl": {"reference": "adapter_off"}}, "model.lora"),
        (
            {
                "algo": {"kl": {"beta": 0.1}},
                "rl": {"reference": "adapter_off"},
                "model": {"lora": {}, "train_vision": True},
            },
            "vision tower",
        ),
        ({"reward": {"custom": [{"target": "nowhere.at_all:f"}]}}, "nowhere"),
        ({"reward": {"judges": {"dark_event": "big"}}}, "big"),
        ({"run": {"eval_every": 1}}, "eval.data"),
    ],
)
def test_what_cannot_work_is_refused_before_a_folder_is_begun(
    recipe: Recipe, tmp_path: Path, over: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError) as caught:
        train_rl(recipe("rl", over))
    assert said in str(caught.value)
    assert not (tmp_path / "rl").exists()


# ----------------------------------------------------------------------- runs


def final(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "checkpoints" / "step-3" / "weights.safetensors")


def test_a_damaged_checkpoint_costs_steps_and_nothing_else(
    recipe: Recipe, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The newest is torn: the run goes on from the one before, to the same end."""
    config = recipe("sft")
    train_sft(config)
    run = Path(config.run.dir)
    expected, metrics = final(run), files.read_records(run / "metrics.jsonl")
    cut(run / "checkpoints" / "step-3" / "optimizer.safetensors")
    train_sft(config)
    assert "step-3" in caplog.text
    found = final(run)
    assert all(torch.equal(expected[n], found[n]) for n in expected)
    assert [r["step"] for r in files.read_records(run / "metrics.jsonl")] == [1, 2, 3]
    assert [r["loss"] for r in files.read_records(run / "metrics.jsonl")] == [
        r["loss"] for r in metrics
    ]
    assert checkpoint.is_whole(run / "checkpoints" / "step-3")


def test_a_checkpoint_of_other_weights_is_refused(recipe: Recipe, tmp_path: Path) -> None:
    """Somebody copied checkpoints between runs."""
    whole = recipe("sft", {"run": {"dir": str(tmp_path / "whole")}})
    adapted = recipe("sft", {"run": {"dir": str(tmp_path / "adapted")}, "model": {"lora": {}}})
    train_sft(whole)
    train_sft(adapted)
    shutil.rmtree(tmp_path / "adapted" / "checkpoints")
    shutil.copytree(tmp_path / "whole" / "checkpoints", tmp_path / "adapted" / "checkpoints")
    with pytest.raises(KinogradError, match="trains other weights"):
        train_sft(adapted)


@pytest.mark.parametrize("what", ["data", "model"])
@pytest.mark.parametrize("method", ["sft", "eval"])
def test_a_run_does_not_go_on_with_something_else(
    recipe: Recipe, world: Path, tiny: Path, tmp_path: Path, method: str, what: str
) -> None:
    """The same names now hold other rows, or weights trained anew in between."""
    rows = (world / "train.jsonl").open().readlines()
    data, model = tmp_path / "rows.jsonl", tmp_path / "model"
    data.write_text("".join(rows[:6]))
    shutil.copytree(tiny, model)
    inputs = {"data": {"train": [str(data)]}, "sft": {"steps": 1}}
    if method == "eval":
        inputs = {"eval": {"data": [str(data)]}}
    config = recipe(method, inputs, {"model": {"path": str(model)}})
    run = {"sft": train_sft, "eval": evaluate_checkpoint}[method]
    run(config)
    run(config)  # the same inputs: it goes on, and is done
    if what == "data":
        data.write_text("".join(rows[1:7]))
    else:
        weights = load_file(model / "model.safetensors")
        weights[max(weights)].flatten()[0] += 1e-3
        save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UsageError, match="not what it was when the run in") as caught:
        run(config)
    assert (str(data) if what == "data" else "model") in str(caught.value)


def test_damaged_settings_of_a_model_are_named(
    tiny: Path, tmp_path: Path, world: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(tiny, tmp_path / "model")
    clip = str(world / "clips" / "held_out-000000.mp4")
    for text in ("{", "[]", '{"video": {"nframes": "many"}}', '{"prompt": {"colour": 1}}'):
        (tmp_path / "model" / "kinograd.json").write_text(text)
        with pytest.raises(KinogradError, match=r"kinograd\.json cannot be read"):
            kinograd.load(tmp_path / "model")
        assert cli.main(["ask", str(tmp_path / "model"), clip, "What?"]) == 1
        assert "Traceback" not in capfd.readouterr().err


def test_debug_shows_where_it_came_from(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    words = ["ask", str(tmp_path), "a.mp4", "What?"]
    assert cli.main(words) == 2
    complaint = capfd.readouterr().err
    assert complaint.count("\n") == 1
    with pytest.raises(UsageError) as caught:
        cli.main([*words, "--debug"])
    assert complaint == f"kinograd: {caught.value}\n"


# ---------------------------------------------------------------------- clips


@pytest.fixture
def one_broken(world: Path, tmp_path: Path) -> Callable[[str], dict[str, Any]]:
    """The data section of a world in which the clip of one example cannot be read."""

    def make(harm: str) -> dict[str, Any]:
        root = tmp_path / "root"
        shutil.copytree(world, root)
        clip = root / "clips" / "train-000003.mp4"
        if harm == "gone":
            clip.unlink()
        elif harm == "cut off":
            cut(clip)
        else:
            clip.write_text("no film")
        train = [str(root / "train.jsonl")]
        return {"data": {"media_root": str(root), "train": train, "max_failed_fraction": 0.05}}

    return make


@pytest.mark.parametrize("harm", ["gone", "cut off", "text"])
@pytest.mark.parametrize("method", ["sft", "rl"])
def test_one_broken_clip_is_counted_and_left_out(
    recipe: Recipe,
    one_broken: Callable[[str], dict[str, Any]],
    varied: dict[str, Any],
    method: str,
    harm: str,
) -> None:
    layers = [varied] if method == "rl" else []
    size = {"sft": {"sft": {"batch_size": 12, "steps": 2}}}
    size["rl"] = {"rl": {"prompts_per_step": 12, "group_size": 2, "steps": 2}}
    config = recipe(method, *layers, one_broken(harm), size[method])
    {"sft": train_sft, "rl": train_rl}[method](config)
    run = Path(config.run.dir)
    (row,) = files.read_records(run / "quarantine.jsonl")
    assert row["id"].startswith("train-000003")
    assert row["reason"] in ("missing", "not_media", "damaged", "truncated")
    assert "train-000003.mp4" in row["detail"]
    _, state = checkpoint.load(run / "checkpoints" / "step-2")
    assert (state["seen"], state["failed"]) == (24, 1)
    if method == "rl":
        counts = [r["rollouts"] for r in files.read_records(run / "metrics.jsonl")]
        assert sorted(counts) == [22, 24]


def test_a_batch_of_one_broken_clip_is_passed_over(
    recipe: Recipe, one_broken: Callable[[str], dict[str, Any]], varied: dict[str, Any]
) -> None:
    """One prompt per step, as Video-R1 trains: the step is empty and the run goes on."""
    data = one_broken("gone")
    lone = recipe("sft", data, {"sft": {"batch_size": 1, "steps": 24}, "run": {"save_every": 24}})
    train_sft(lone)
    rows = files.read_records(Path(lone.run.dir) / "metrics.jsonl")
    empty = [r for r in rows if "loss" not in r]
    assert len(rows) == 24
    assert len(empty) == 1
    assert not any("nonfinite" in r for r in rows)
    step = empty[0]["step"]
    over = {
        "rl": {"prompts_per_step": 1, "steps": step, "group_size": 2},
        "run": {"save_every": 24},
    }
    config = recipe("rl", varied, data, over)
    train_rl(config)
    row = files.read_records(Path(config.run.dir) / "metrics.jsonl")[-1]
    assert (row["step"], row["rollouts"], row["optim/updates"]) == (step, 0, 0)


def test_too_many_broken_clips_stop_the_run(
    recipe: Recipe, world: Path, tmp_path: Path, varied: dict[str, Any]
) -> None:
    rows = [json.loads(line) for line in (world / "train.jsonl").open()]
    for row in rows[::3]:
        row["media"] = [{"type": "video", "path": "clips/gone.mp4"}]
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps(r) + "\n" for r in rows))
    for train, config in (
        (train_sft, recipe("sft", {"data": {"train": [str(data)]}, "sft": {"steps": 9}})),
        (train_rl, recipe("rl", varied, {"data": {"train": [str(data)]}, "rl": {"steps": 9}})),
    ):
        with pytest.raises(
            KinogradError, match="could not be read, more than data.max_failed"
        ) as e:
            train(config)
        assert "quarantine.jsonl" in str(e.value)


def test_a_run_that_was_stopped_goes_on_with_a_raised_limit(
    recipe: Recipe, one_broken: Callable[[str], dict[str, Any]], tmp_path: Path
) -> None:
    """As the message says; what could change a result may still not change."""
    data = one_broken("gone")["data"]
    steps = {"sft": {"batch_size": 24, "steps": 2}}
    with pytest.raises(KinogradError, match="1 of 24 examples could not be read"):
        train_sft(recipe("sft", {"data": data | {"max_failed_fraction": 0.0}}, steps))
    with pytest.raises(UsageError, match=r"run\.seed: 0 there, 1 now"):
        train_sft(recipe("sft", {"data": data, "run": {"seed": 1}}, steps))
    train_sft(recipe("sft", {"data": data, "run": {"keep": 1}, "video": {"workers": 1}}, steps))
    assert len(files.read_records(tmp_path / "sft" / "metrics.jsonl")) == 2


# ---------------------------------------------------------------------- disks


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system that holds one checkpoint of the tiny model, and not two."""
    if os.geteuid() != 0 or sys.platform != "linux":
        pytest.skip("mounting a small file system takes root on Linux [hardware]")
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)]
    if subprocess.run(mounted, capture_output=True).returncode != 0:
        pytest.skip("this machine does not allow mounts [hardware]")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_stops_a_run_that_goes_on_when_there_is_room(
    recipe_tree: Callable[..., dict[str, Any]],
    recipe: Recipe,
    small_disk: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    train_sft(recipe("sft", {"run": {"dir": str(tmp_path / "whole")}}))
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe_tree("sft", {"run": {"dir": str(small_disk / "run")}})))
    filler = small_disk / "filler"
    with pytest.raises(OSError), filler.open("wb", buffering=0) as stream:  # noqa: PT012
        while True:
            stream.write(bytes(4096))
    capfd.readouterr()
    for said in ("No space left on device", "no space for a checkpoint"):
        assert cli.main(["sft", str(path)]) == 1
        complaint = capfd.readouterr().err
        assert "Traceback" not in complaint
        line = complaint[complaint.index("kinograd: ") :]
        assert line.count("\n") == 1
        assert said in line
        assert "run the same command again" in line
        filler.unlink(missing_ok=True)
    assert [p.name for p in (small_disk / "run" / "checkpoints").iterdir()] == ["step-1"]
    subprocess.run(["mount", "-o", "remount,size=80m", str(small_disk)], check=True)
    assert cli.main(["sft", str(path)]) == 0
    expected, found = final(tmp_path / "whole"), final(small_disk / "run")
    assert all(torch.equal(expected[n], found[n]) for n in expected)
    steps = [r["step"] for r in files.read_records(small_disk / "run" / "metrics.jsonl")]
    assert steps == [1, 2, 3]
