"""What an evaluation file shares with a training file."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from kinograd.synthetic.mp4_writer import write_mp4


@pytest.fixture
def files(shelf: Any, tmp_path: Path) -> Path:
    for seed in range(4):
        write_mp4(tmp_path / f"{seed}.mp4", shelf.film(seed))
    shutil.copyfile(tmp_path / "1.mp4", tmp_path / "renamed.mp4")
    write_mp4(tmp_path / "again.mp4", shelf.film(2).repeat(2, axis=1).repeat(2, axis=2))
    (tmp_path / "odd.mp4").write_text("no film")

    def ask(id: str, question: str, path: str) -> dict:
        return shelf.row(id, path, question=question)

    train = [ask(f"t{i}", "What happens?", f"{i}.mp4") for i in range(3)]
    train += [ask("t3", "Why does the blue box wait?", "0.mp4"), ask("t4", "Odd?", "odd.mp4")]
    shelf.write(tmp_path / "train.jsonl", train)
    evaluation = [
        ask("same path", "Where?", "0.mp4"),
        ask("renamed", "What happens?", "renamed.mp4"),
        ask("again", "Who?", "again.mp4"),
        ask("question", "why does the blue box wait", "3.mp4"),
        ask("clean", "What happens?", "3.mp4"),
    ]
    shelf.write(tmp_path / "eval.jsonl", evaluation)
    return tmp_path


def found(out: Path) -> list[tuple[int, str, int]]:
    records = map(json.loads, out.read_text().splitlines())
    return [(int(r["eval"][-1]), r["by"], int(r["train"][-1])) for r in records]


def test_files_clips_and_questions(shelf: Any, files: Path) -> None:
    out = files / "shared.jsonl"
    arguments = ["overlap", files / "train.jsonl", files / "eval.jsonl", "--out", out]
    status, shown = shelf.run(*arguments, f"media_root={files}")
    assert status == 1
    assert found(out) == [
        *((1, "file", 1), (1, "clip", 1), (2, "file", 2), (2, "clip", 2), (3, "clip", 3)),
        (4, "question", 4),
    ]
    assert "2 by file, 3 by clip, 1 by question shared" in shown
    assert "train.jsonl:5 could not be compared: odd.mp4" in shown
    assert shelf.run(*arguments)[0] == 1
    assert found(out) == [(1, "file", 1), (4, "question", 4)]


def test_nothing_shared(shelf: Any, files: Path) -> None:
    rows = [shelf.row("x", "3.mp4", question="New?")]
    shelf.write(files / "new.jsonl", rows)
    status, _ = shelf.run(
        "overlap", files / "train.jsonl", files / "new.jsonl", f"media_root={files}"
    )
    assert status == 0
