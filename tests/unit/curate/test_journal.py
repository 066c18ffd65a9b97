"""Journals: what a killed verb finds again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from kinograd.curate.journal import Journal, digest_of
from kinograd.types import DataError, UsageError


def test_records_outlast_the_process(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal(path, "d") as journal:
        for i in range(5):
            journal.append(f"é{i}", {"n": i})
    with Journal(path, "d") as journal:
        assert [journal.done(f"é{i}") for i in range(6)] == [*({"n": i} for i in range(5)), None]
        journal.append("é5", {"n": 5})
        journal.append("é0", {"n": -1})
        assert journal.done("é5") == {"n": 5}
        assert journal.done("é0") == {"n": -1}
        assert len(journal) == 6
        journal.remove()
    assert not path.exists()


def test_a_torn_line_is_done_again(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal(path, "d") as journal:
        journal.append("a", {"n": 1})
        journal.append("b", {"n": 2})
    whole = path.read_bytes()
    for end in range(len(whole)):
        path.write_bytes(whole[:end])
        with Journal(path, "d") as journal:
            assert journal.done("b") is None
            journal.append("b", {"n": 3})
            assert journal.done("b") == {"n": 3}
            assert journal.done("a") in (None, {"n": 1})


def test_another_input_is_refused(tmp_path: Path) -> None:
    path, data = tmp_path / "journal.jsonl", tmp_path / "rows.jsonl"
    data.write_text("{}\n")
    Journal(path, digest_of([data], {"decode": True})).close()
    Journal(path, digest_of([data], {"decode": True})).close()
    with pytest.raises(UsageError, match=r"journal.jsonl is from another .* delete"):
        Journal(path, digest_of([data], {"decode": False}))
    data.write_text("{} \n")
    with pytest.raises(UsageError, match="from another input"):
        Journal(path, digest_of([data], {"decode": True}))
    with pytest.raises(DataError, match=r"none.jsonl: cannot be read"):
        digest_of([tmp_path / "none.jsonl"], {})


@pytest.mark.parametrize("line", [b'{"id": ', b"[1]", b"{}"])
def test_damage_before_the_last_line_is_an_error(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal(path, "d") as journal:
        journal.append("a", {"n": 1})
    path.write_bytes(path.read_bytes() + line + b'\n{"id": "b", "record": {}}\n')
    with pytest.raises(DataError, match="damaged at byte"):
        Journal(path, "d")


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal(path, "d") as journal:
        journal.append("a", {"n": 1})
        torn = path.open("a")
        torn.write('{"id": "b"')  # a line that the first process is about to finish
        torn.flush()
        before = path.read_bytes()
        with pytest.raises(UsageError, match="another process is writing"):
            Journal(path, "d")
        code = "import sys; from kinograd.curate.journal import Journal; Journal(sys.argv[1], 'd')"
        code = code.replace("sys.argv[1]", "__import__('pathlib').Path(sys.argv[1])")
        run = subprocess.run(
            [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False
        )
        assert "another process is writing" in run.stderr
        assert path.read_bytes() == before
        torn.close()
    with Journal(path, "d") as journal:
        assert journal.done("a") == {"n": 1}
