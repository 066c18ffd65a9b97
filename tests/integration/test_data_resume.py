"""kill -9 in the middle of a data verb, then the same command: the same files."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kinograd.config.synthetic import SyntheticConfig
from kinograd.synthetic.build import build


def start(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "kinograd", "data", *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, start_new_session=True, **pipes)  # type: ignore[call-overload]


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    shown, _ = process.communicate(timeout=200)
    return process.returncode, shown


def kill_when(process: subprocess.Popen[str], ready: Callable[[], bool]) -> None:
    """SIGKILL to the command alone, as the system's memory killer sends it."""
    end = time.monotonic() + 100
    while not ready():
        assert process.poll() is None, finish(process)[1]
        assert time.monotonic() < end
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    finish(process)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """rows.jsonl of 300 rows, one of them not JSON, two without their clips."""
    folder = tmp_path_factory.mktemp("world")
    build(SyntheticConfig(families=["order", "count"], splits={"rows": 300}), folder)
    rows = (folder / "rows.jsonl").read_text().splitlines()
    rows[40] = "{"
    (folder / "rows.jsonl").write_text("".join(f"{row}\n" for row in rows))
    for number in (7, 290):
        clip = next((folder / "clips").glob(f"rows-{number:06d}*.mp4"))
        clip.unlink()
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("workers", [1, 2])
def test_validate(world: Path, tmp_path: Path, workers: int) -> None:
    arguments = ("validate", world / "rows.jsonl", f"media_root={world}", "decode=true")
    arguments += ("video.nframes=4", f"workers={workers}", "--out")
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert finish(start(*arguments, whole))[0] == 1
    journal = cut / "journal.jsonl"

    def has(lines: int) -> Callable[[], bool]:
        return lambda: journal.exists() and journal.read_bytes().count(b"\n") > lines

    kill_when(start(*arguments, cut), has(30))
    assert "report.json" not in files(cut)
    kept = journal.read_bytes().count(b"\n")
    assert 30 < kept < 300
    kill_when(start(*arguments, cut), has(kept + 30))
    status, shown = finish(start(*arguments, cut))
    assert status == 1, shown
    assert files(cut) == files(whole)
    assert files(cut).keys() == {"valid.jsonl", "quarantine.jsonl", "report.json"}
    assert files(cut)["quarantine.jsonl"].count(b"\n") == 3
    assert files(cut)["valid.jsonl"].count(b"\n") == 297


def test_other_options_do_not_take_up_anothers_work(world: Path, tmp_path: Path) -> None:
    arguments = ("validate", world / "rows.jsonl", f"media_root={world}", "--out", tmp_path)
    journal = tmp_path / "journal.jsonl"

    def begun() -> bool:
        return journal.exists() and journal.stat().st_size > 0

    kill_when(start(*arguments, "decode=true"), begun)
    status, shown = finish(start(*arguments))
    assert status == 2
    assert "journal.jsonl" in shown
    assert "from another input or other options" in " ".join(shown.split())
