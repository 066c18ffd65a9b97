from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from kinograd import files
from kinograd.progress import progress
from kinograd.types import DataError


def test_a_torn_last_line_is_passed_over_then_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"a": 1}\n{"a": 2}\n{"a": ')
    assert files.read_records(path) == [{"a": 1}, {"a": 2}]

    file = files.RecordFile(path)
    file.append({"a": 3, "text": "line\nbreak \u2028 é"})
    file.close()

    assert [r["a"] for r in files.read_records(path)] == [1, 2, 3]
    assert files.read_records(path)[-1]["text"] == "line\nbreak \u2028 é"


def test_a_whole_last_line_without_its_newline_is_torn_too(tmp_path: Path) -> None:
    """The newline is the seal: ``{"a": 12}`` may be all that was written of ``{"a": 12}…``."""
    path = tmp_path / "log.jsonl"
    path.write_text('{"a": 1}\n{"a": 12}')
    assert files.read_records(path) == [{"a": 1}]


@pytest.mark.parametrize("line", ['{"a": ', "[1]", ""])
def test_damage_elsewhere_is_an_error_with_its_line(tmp_path: Path, line: str) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text(f'{{"a": 1}}\n{line}\n{{"a": 2}}\n')
    with pytest.raises(DataError, match=r"log.jsonl, line 2"):
        files.read_records(path)


def test_no_file_has_no_records(tmp_path: Path) -> None:
    assert files.read_records(tmp_path / "absent.jsonl") == []
    assert files.filter_records(tmp_path / "absent.jsonl", lambda _: True) == 0


def test_nan_is_refused_and_finite_names_it(tmp_path: Path) -> None:
    file = files.RecordFile(tmp_path / "log.jsonl")
    with pytest.raises(ValueError, match="JSON"):
        file.append({"loss": float("nan")})
    values, odd = files.split_nonfinite({"loss": float("nan"), "low": float("-inf"), "n": 3})
    file.append(values)
    file.close()
    assert files.read_records(file.path) == [{"loss": None, "low": None, "n": 3}]
    assert odd == {"loss": "nan", "low": "-inf"}


def test_keep_rewrites_only_when_something_goes(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps({"step": i}) + "\n" for i in range(5)))
    inode = path.stat().st_ino
    assert files.filter_records(path, lambda r: r["step"] < 9) == 0
    assert path.stat().st_ino == inode
    assert files.filter_records(path, lambda r: r["step"] < 3) == 2
    assert [r["step"] for r in files.read_records(path)] == [0, 1, 2]
    assert list(tmp_path.iterdir()) == [path]


def test_progress_prints_few_lines_where_there_is_no_terminal() -> None:
    stream = io.StringIO()
    with progress(1000, "rl", done=600, stream=stream) as bar:
        for _ in range(400):
            bar.advance(reward=0.25, stage="warm")
    lines = stream.getvalue().splitlines()
    assert len(lines) == 8
    assert lines[0].startswith("rl 650/1000  ")
    assert " left" in lines[0]
    assert lines[-1].startswith("rl 1000/1000  ")
    assert lines[-1].endswith("reward 0.25  stage warm")


def test_progress_draws_a_bar_on_a_terminal() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    with progress(4, "sft", stream=stream) as bar:
        bar.advance(4, loss=0.5)
    assert "4/4" in stream.getvalue()
    assert "loss 0.5" in stream.getvalue()
