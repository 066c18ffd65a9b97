from __future__ import annotations

import json
from pathlib import Path

import pytest

from kinograd.datasets.formats import find_format
from kinograd.datasets.load import read_rows
from kinograd.types import Cut, Example, Kind, Media, MediaType, UsageError

pytest.importorskip("datasets", reason="data sets of the hub need datasets")

VIDEO = Media(MediaType.VIDEO, Cut.whole("a.mp4"))
ROW = {"video_filename": "./a.mp4", "problem": "How many?", "solution": "<answer>1</answer>"}


def test_a_local_folder_with_rows_of_a_format(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)  # a hub name and a folder are told apart by what is there
    (tmp_path / "set").mkdir()
    lines = [json.dumps(ROW), json.dumps(ROW | {"solution": "one"})]
    (tmp_path / "set" / "train.jsonl").write_text("\n".join(lines) + "\n")
    good, bad = read_rows("set?format=dvd_counting&split=train", "hub")
    assert isinstance(good, Example)
    assert good.answer == "1"
    assert not isinstance(bad, Example)
    assert bad.where == "set[1]"


def test_a_local_folder_of_canonical_parquet(tmp_path: Path) -> None:
    rows = [Example(f"r{n}", Kind.OCR, "What?", "it", (VIDEO,), extra={"n": n}) for n in range(3)]
    write = find_format("parquet").write
    assert write is not None
    write(tmp_path / "set" / "data" / "train-00000.parquet", rows)
    assert list(read_rows(tmp_path / "set", "hub")) == rows


def test_what_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "train.jsonl").write_text(json.dumps(ROW) + "\n")
    with pytest.raises(UsageError, match="split 'nine'"):
        list(read_rows(f"{tmp_path}/set?split=nine", "hub"))
    with pytest.raises(UsageError, match="unknown option"):
        list(read_rows("a/b?splot=train", "hub"))
    with pytest.raises(UsageError, match="has no rows"):
        list(read_rows("a/b?format=coin", "hub"))
