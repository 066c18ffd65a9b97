from __future__ import annotations

from pathlib import Path

import pytest

from kinograd.datasets.jsonl import write_examples
from kinograd.datasets.load import load_examples
from kinograd.datasets.rows import Reason
from kinograd.types import Cut, DataError, Example, Kind, Media, MediaType

VIDEO = Media(MediaType.VIDEO, Cut.whole("a.mp4"))


def written(path: Path, *names: str) -> Path:
    write_examples(path, (Example(n, Kind.OCR, "What?", "it", (VIDEO,)) for n in names))
    return path


def test_good_rows_of_all_files_and_the_others_with_reasons(tmp_path: Path) -> None:
    one, two = written(tmp_path / "one.jsonl", "a", "b"), written(tmp_path / "two.jsonl", "b", "c")
    one.write_text(one.read_text() + '{"id": "d"}\nno json\n')
    good, bad = load_examples([one, str(two)])
    assert [e.id for e in good] == ["a", "b", "c"]
    assert [(r.where, r.reason) for r in bad] == [
        (f"{one}:3", Reason.SCHEMA),
        (f"{one}:4", Reason.JSON),
        (str(two), Reason.DUPLICATE),
    ]
    assert [r.id for r in bad] == ["d", None, "b"]


def test_more_bad_rows_than_allowed(tmp_path: Path) -> None:
    path = written(tmp_path / "one.jsonl", *map(str, range(9)))
    path.write_text(path.read_text() + "no json\n")
    assert len(load_examples([path], limit=0.1)[0]) == 9
    with pytest.raises(DataError, match=r"1 of 10 rows .*one\.jsonl:10: not JSON"):
        load_examples([path], limit=0.05)


def test_files_without_a_good_row(tmp_path: Path) -> None:
    assert load_examples([]) == ([], [])
    empty, bad = tmp_path / "empty.jsonl", tmp_path / "bad.jsonl"
    empty.write_text("")
    bad.write_text("{}\n")
    with pytest.raises(DataError, match="holds no rows"):
        load_examples([empty])
    with pytest.raises(DataError, match=r"no row is good; .*bad\.jsonl:1: missing"):
        load_examples([bad])
    with pytest.raises(DataError, match="no such file"):
        load_examples([tmp_path / "no.jsonl"])
