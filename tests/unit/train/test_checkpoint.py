from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from kinograd.train import checkpoint
from kinograd.types import KinogradError


def _tensors(step: int) -> dict[str, dict[str, torch.Tensor]]:
    return {"trainable": {"w": torch.full((4, 8), float(step))}, "optimizer": {}}


def _save(folder: Path, step: int, keep: int = 10) -> Path:
    return checkpoint.save(folder, step, _tensors(step), {"step": step}, keep=keep)


def test_round_trip_keeps_types_shapes_and_bits(tmp_path: Path) -> None:
    shared = torch.arange(6, dtype=torch.float32)
    tensors = {
        "a": {
            "bf16": torch.randn(3, 5, generator=torch.Generator().manual_seed(0)).bfloat16(),
            "scalar": torch.tensor(2.5),
            "empty": torch.zeros(0, 3),
            "odd": torch.tensor([float("nan"), float("-inf"), -0.0]),
            "int": torch.tensor([1 << 40]),
            "transposed": torch.arange(6.0).reshape(2, 3).T,
            "tied_1": shared,
            "tied_2": shared,
            "view": shared[2:4],
        },
        "nothing": {},
    }
    state = {"stream": [1 << 127, 3], "schedule": {"peak": 1e-6}, "note": "é", "none": None}
    path = checkpoint.save(tmp_path, 7, tensors, state, keep=1)

    back, back_state = checkpoint.load(path)

    assert path == tmp_path / "step-7"
    assert back_state == state
    assert back.keys() == tensors.keys()
    assert back["nothing"] == {}
    for name, tensor in tensors["a"].items():
        got = back["a"][name]
        assert got.dtype == tensor.dtype
        assert got.shape == tensor.shape
        assert (
            got.contiguous()
            .view(-1)
            .view(torch.uint8)
            .equal(tensor.contiguous().view(-1).view(torch.uint8))
        ), name


def test_the_manifest_covers_the_model_folder(tmp_path: Path) -> None:
    def write(folder: Path) -> None:
        (folder / "sub").mkdir()
        (folder / "sub" / "config.json").write_text("{}")

    path = checkpoint.save(tmp_path, 1, _tensors(1), {}, keep=1, model_writer=write)

    manifest = json.loads((path / "manifest.json").read_text())
    assert set(manifest["files"]) == {
        "trainable.safetensors",
        "optimizer.safetensors",
        "state.json",
        "model/sub/config.json",
    }
    (path / "model" / "sub" / "config.json").write_text("[]")
    assert checkpoint.latest(tmp_path) is None


def test_the_newest_are_kept_by_number(tmp_path: Path) -> None:
    for step in (8, 9, 10, 100):
        _save(tmp_path, step, keep=2)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-10", "step-100"]
    assert checkpoint.latest(tmp_path) == tmp_path / "step-100"


def test_no_checkpoint_is_none(tmp_path: Path) -> None:
    assert checkpoint.latest(tmp_path / "absent") is None


@pytest.mark.parametrize("harm", ["truncate", "flip", "remove", "no manifest", "half a manifest"])
def test_a_damaged_checkpoint_is_passed_over_and_written_again(
    tmp_path: Path, harm: str, caplog: pytest.LogCaptureFixture
) -> None:
    _save(tmp_path, 1)
    newest = _save(tmp_path, 2)
    victim = newest / "trainable.safetensors"
    data = victim.read_bytes()
    manifest = newest / "manifest.json"
    match harm:
        case "truncate":
            victim.write_bytes(data[:-1])
        case "flip":
            victim.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        case "remove":
            victim.unlink()
        case "no manifest":
            manifest.unlink()
        case "half a manifest":
            manifest.write_bytes(manifest.read_bytes()[:40])

    assert checkpoint.latest(tmp_path) == tmp_path / "step-1"
    assert "step-2" in caplog.text
    with pytest.raises(KinogradError, match="not a whole checkpoint"):
        checkpoint.load(newest)

    _save(tmp_path, 2, keep=1)
    assert checkpoint.latest(tmp_path) == newest


def test_pruning_never_prefers_a_damaged_later_step(tmp_path: Path) -> None:
    later = _save(tmp_path, 3)
    (later / "manifest.json").unlink()
    _save(tmp_path, 2, keep=1)
    assert checkpoint.latest(tmp_path) == tmp_path / "step-2"


def test_a_whole_step_is_left_as_it_is(tmp_path: Path) -> None:
    path = _save(tmp_path, 5)
    before = (path / "trainable.safetensors").stat().st_ino
    assert _save(tmp_path, 5) == path
    assert (path / "trainable.safetensors").stat().st_ino == before


def test_an_interrupted_writer_leaves_the_previous_one(tmp_path: Path) -> None:
    _save(tmp_path, 1)

    def interrupted(folder: Path) -> None:
        (folder / "half").write_bytes(b"x" * 100)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        checkpoint.save(tmp_path, 2, _tensors(2), {}, keep=1, model_writer=interrupted)
    assert [p.name for p in tmp_path.iterdir()] == ["step-1"]
    assert checkpoint.latest(tmp_path) == tmp_path / "step-1"


_VICTIM = """
import sys, time
from pathlib import Path
import torch
from kinograd.train import checkpoint

folder = Path(sys.argv[1])
tensors = lambda step: {"w": {"w": torch.full((1 << 20,), float(step))}}

def dawdle(model: Path) -> None:
    (model / "half").write_bytes(b"x" * 1000)
    print("in the middle", flush=True)
    time.sleep(600)

checkpoint.save(folder, 1, tensors(1), {"step": 1}, keep=1)
if sys.argv[2] == "middle":
    checkpoint.save(folder, 2, tensors(2), {"step": 2}, keep=1, model_writer=dawdle)
for step in range(2, 1_000_000):
    checkpoint.save(folder, step, tensors(step), {"step": step}, keep=1)
    print("saved", flush=True)
"""


def _victim(folder: Path, where: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", textwrap.dedent(_VICTIM), str(folder), where]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL


def test_kill_in_the_middle_of_saving_leaves_the_previous_one(tmp_path: Path) -> None:
    process = _victim(tmp_path, "middle")
    assert process.stdout is not None
    assert process.stdout.readline() == "in the middle\n"
    _kill(process)

    assert any(p.name.startswith(".") for p in tmp_path.iterdir())  # it was indeed half-way
    found = checkpoint.latest(tmp_path)
    assert found == tmp_path / "step-1"
    assert checkpoint.load(found)[1] == {"step": 1}
    _save(tmp_path, 2, keep=1)
    assert [p.name for p in tmp_path.iterdir()] == ["step-2"]


def test_kill_at_any_moment_leaves_a_whole_one(tmp_path: Path) -> None:
    process = _victim(tmp_path, "anywhere")
    assert process.stdout is not None
    for _ in range(5):
        process.stdout.readline()
    _kill(process)

    found = checkpoint.latest(tmp_path)
    assert found is not None
    tensors, state = checkpoint.load(found)
    assert state["step"] >= 5
    assert tensors["w"]["w"].eq(state["step"]).all()


# ------------------------------------------------------------------ full disks


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MB."""
    if os.geteuid() != 0 or sys.platform != "linux":
        pytest.skip("mounting a small file system takes root on Linux [hardware]")
    mounted = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(tmp_path)]
    if subprocess.run(mounted, capture_output=True).returncode != 0:
        pytest.skip("this machine does not allow mounts [hardware]")
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


def _megabyte(value: float) -> dict[str, dict[str, torch.Tensor]]:
    return {"w": {"w": torch.full((1 << 18,), float(value))}}


def test_a_disk_too_small_is_seen_before_writing(small_disk: Path) -> None:
    checkpoint.save(small_disk, 1, _megabyte(1), {}, keep=1)
    with pytest.raises(KinogradError, match=rf"{small_disk}.*3,145,7\d\d bytes") as caught:
        checkpoint.save(small_disk, 2, _megabyte(2) | {"v": _megabyte(2)["w"]}, {}, keep=1)
    assert caught.value.__cause__ is None
    assert checkpoint.latest(small_disk) == small_disk / "step-1"


def test_a_disk_that_fills_up_harms_nothing(small_disk: Path) -> None:
    checkpoint.save(small_disk, 1, _megabyte(1), {}, keep=1)

    def too_much(folder: Path) -> None:
        save_file({"w": torch.zeros(1 << 19)}, folder / "model.safetensors")

    def far_too_much(folder: Path) -> None:
        (folder / "blob").write_bytes(bytes(4 << 20))

    for writer in (too_much, far_too_much):
        with pytest.raises(KinogradError, match=f"no space for a checkpoint in {small_disk}"):
            checkpoint.save(small_disk, 2, {}, {}, keep=1, model_writer=writer)
        assert [p.name for p in small_disk.iterdir()] == ["step-1"]
    assert checkpoint.latest(small_disk) == small_disk / "step-1"


def test_other_write_errors_are_not_called_a_full_disk(tmp_path: Path) -> None:
    def refuse(folder: Path) -> None:
        raise OSError(errno.EACCES, "denied")

    with pytest.raises(OSError, match="denied"):
        checkpoint.save(tmp_path, 1, {}, {}, keep=1, model_writer=refuse)
