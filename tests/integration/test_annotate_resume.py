"""The real command, killed while it works: no answer is lost, none is asked for twice."""

from __future__ import annotations

import importlib.util
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from kinograd import files
from kinograd.cli import main
from kinograd.datasets.jsonl import read_examples, write_examples
from kinograd.types import Example, Kind

SERVER = Path(__file__).resolve().parents[2] / "benchmarks" / "judge_server.py"
ROWS = 40


def number(body: dict[str, Any]) -> int:
    found = re.search(r"Is it (\d+)\?", body["messages"][-1]["content"][-1]["text"])
    assert found
    return int(found[1])


def reply(body: dict[str, Any]) -> str:
    n = number(body)
    return f"<think>Row {n}.</think><answer>{n + (n % 5 == 0)}</answer>"  # each fifth is wrong


@contextmanager
def serving(**options: Any) -> Iterator[Any]:
    spec = importlib.util.spec_from_file_location("judge_server", SERVER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with module.JudgeServer(reply, **options) as server:
        yield server


@pytest.fixture
def command(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str, str], list[str]]:
    """``command(url, out)``: the words of one command line."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    clip = read_examples(world / "train.jsonl")[0].media
    rows = (
        Example(f"r{i}", Kind.NUMERICAL, f"Is it {i}?", str(i), clip if i % 10 == 0 else ())
        for i in range(ROWS)
    )
    write_examples(tmp_path / "in.jsonl", rows)
    return lambda url, out: [
        *("data", "annotate", str(tmp_path / "in.jsonl"), "-o", str(tmp_path / out)),
        *(f"teacher.urls=[{url}]", "teacher.model=m", f"media_root={world}"),
        *("teacher.max_concurrency=2", "teacher.max_retries=0", "teacher.give_up_after=3"),
        "video={nframes: 4, max_pixels: 3136, min_pixels: 784, workers: 0}",
    ]


def answered(journal: Path) -> set[int]:
    """Rows with a whole line in the journal, whatever a kill left behind them."""
    lines = journal.read_text().rpartition("\n")[0].splitlines() if journal.exists() else []
    return {int(json.loads(line)["id"].split()[0][1:]) for line in lines[1:]}


def test_kill_and_resume_end_with_the_same_bytes(
    command: Callable[[str, str], list[str]], tmp_path: Path
) -> None:
    with serving() as server:
        assert main(command(server.url, "whole.jsonl")) == 0
        assert sorted(map(number, server.bodies)) == list(range(ROWS))
    with serving(latency_s=0.05) as server:
        words = command(server.url, "out.jsonl")
        process = subprocess.Popen([sys.executable, "-m", "kinograd", *words])
        while len(answered(tmp_path / "out.jsonl.journal")) < 12:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        kept = answered(tmp_path / "out.jsonl.journal")
        assert 12 <= len(kept) < ROWS
        assert not (tmp_path / "out.jsonl").exists()
        asked = len(server.bodies)
        with (tmp_path / "out.jsonl.journal").open("a") as stream:
            stream.write('{"id": "r39 ')  # what a kill in mid-write leaves
        assert main(words) == 0
        again = [number(body) for body in server.bodies[asked:]]
        assert sorted(again) == sorted(set(range(ROWS)) - kept)
    for name in ("{}.jsonl", "{}.quarantine.jsonl"):
        whole, resumed = (tmp_path / name.format(stem) for stem in ("whole", "out"))
        assert whole.read_bytes() == resumed.read_bytes()
    assert len(read_examples(tmp_path / "out.jsonl")) == ROWS * 4 // 5
    assert not list(tmp_path.glob(".*")), "scratch files are gone"


def test_a_teacher_that_dies_half_way(
    command: Callable[[str, str], list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def mortal(body: dict[str, Any]) -> str:
        if len(server.bodies) >= 15:
            server.fault_rate, server.faults = 1.0, ("close", "503", "garbage")
        return reply(body)

    with serving() as server:
        server.reply = mortal
        assert main(command(server.url, "out.jsonl")) == 1
    assert "the teacher does not answer" in capsys.readouterr().err
    kept = answered(tmp_path / "out.jsonl.journal")
    assert 10 <= len(kept) <= 16
    assert not (tmp_path / "out.jsonl").exists()
    with serving() as other:  # at another address: the answers stay good
        assert main(command(other.url, "out.jsonl")) == 0
        assert sorted(map(number, other.bodies)) == sorted(set(range(ROWS)) - kept)
        assert main(command(other.url, "out.jsonl")) == 0
        assert len(other.bodies) == ROWS - len(kept)
    told = files.read_records(tmp_path / "out.quarantine.jsonl")
    assert [r["id"] for r in told] == [f"r{i}" for i in range(0, ROWS, 5)]
    assert told[1]["where"].endswith("in.jsonl:6")
    assert told[1]["detail"] == "wrong: the best reward 0 is not above 0.6"
    shown = capsys.readouterr().out
    assert f"{ROWS // 5} left out: wrong" in shown


def test_bad_rows_do_not_stop_the_others(
    command: Callable[[str, str], list[str]], tmp_path: Path
) -> None:
    with (tmp_path / "in.jsonl").open("a") as stream:
        stream.write("{torn\n")
    with serving() as server:
        assert main(command(server.url, "out.jsonl")) == 0
    told = files.read_records(tmp_path / "out.quarantine.jsonl")
    assert (told[-1]["where"], told[-1]["reason"]) == (f"{tmp_path / 'in.jsonl'}:41", "json")
    assert len(read_examples(tmp_path / "out.jsonl")) == ROWS * 4 // 5


def test_rows_of_video_r1_are_annotated_as_they_are(
    command: Callable[[str, str], list[str]], world: Path, tmp_path: Path
) -> None:
    (medium,) = read_examples(world / "train.jsonl")[0].media
    row = {"problem_id": 7, "problem": "Is it 7?", "data_type": "video", "data_source": "s"}
    row |= {"problem_type": "numerical", "options": [], "process": ""}
    row |= {"solution": "<answer>7</answer>", "path": f"./{medium.cut.paths[0]}"}
    with serving() as server:
        words = command(server.url, "out.jsonl")
        (tmp_path / "v.json").write_text(json.dumps([row]))
        words[2] = str(tmp_path / "v.json")
        assert main(words) == 0
        images = [p for p in server.bodies[0]["messages"][0]["content"] if p["type"] != "text"]
    assert len(images) == 4
    (found,) = read_examples(tmp_path / "out.jsonl")
    assert (found.answer, found.rationale) == ("7", "Row 7.")
