from __future__ import annotations

import json
import stat
import zipfile
from pathlib import Path

import pytest

from kinograd.curate.unpack import missing, unpack
from kinograd.datasets.load import read_rows
from kinograd.types import DataError


def archive(path: Path, **files: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for name, data in files.items():
            out.writestr(name.replace("__", "/").replace("_mp4", ".mp4"), data)
    return path


def test_archives_are_extracted_where_they_lie(tmp_path: Path) -> None:
    archive(tmp_path / "CLEVRER" / "train.zip", videos__a_mp4=b"a" * 1000, videos__b_mp4=b"b")
    archive(tmp_path / "STAR.zip", c_mp4=b"c")
    told: list[int] = []
    results = unpack(tmp_path, told.append)
    assert [(r.archive.name, r.written) for r in results] == [("train.zip", 2), ("STAR.zip", 1)]
    assert (tmp_path / "CLEVRER/videos/a.mp4").read_bytes() == b"a" * 1000
    assert (tmp_path / "c.mp4").read_bytes() == b"c"
    assert len(told) == 2

    assert unpack(tmp_path) == []  # both are in the journal
    archive(tmp_path / "STAR.zip", c_mp4=b"c", d_mp4=b"dd")
    (again,) = unpack(tmp_path)
    assert (again.written, again.there) == (1, 1)


def test_an_interrupted_extraction_resumes(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.zip", a_mp4=b"a" * 5000, b_mp4=bytes(range(256)) * 40)
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"b.mp4") + 40] ^= 0xFF  # in the packed bytes of the second file
    path.write_bytes(raw)
    (broken,) = unpack(tmp_path)
    assert broken.written == 1
    assert "download it again" in (broken.fault or "")
    assert sorted(p.name for p in tmp_path.glob("*.mp4*")) == ["a.mp4"]

    archive(path, a_mp4=b"a" * 5000, b_mp4=bytes(range(256)) * 40)
    (fixed,) = unpack(tmp_path)
    assert (fixed.written, fixed.there, fixed.fault) == (1, 1, None)
    path.write_bytes(b"no zip")
    assert unpack(tmp_path)[0].fault


def test_members_that_lead_out_are_refused(tmp_path: Path) -> None:
    inside, outside = tmp_path / "data", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    (inside / "door").symlink_to(outside)
    bad = ["../up.mp4", "/abs.mp4", "x/../../up.mp4", "..\\up.mp4", "C:/up.mp4", "door/up.mp4"]
    with zipfile.ZipFile(inside / "a.zip", "w") as out:
        for name in [*bad, "fine/a.mp4"]:
            out.writestr(name, b"x")
        link = zipfile.ZipInfo("link")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        out.writestr(link, "/etc")
    (result,) = unpack(inside)
    assert {*result.refused} == {*bad, "link"}
    assert result.written == 1
    assert not list(outside.iterdir())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data", "outside"]


def test_media_that_are_missing(tmp_path: Path) -> None:
    archive(tmp_path / "a.zip", a_mp4=b"a")
    unpack(tmp_path)
    rows = [
        {"video_filename": f"./{name}.mp4", "problem": q, "solution": "<answer>1</answer>"}
        for name, q in [("a", "1"), ("b", "2"), ("b", "3")]
    ]
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(r) + "\n" for r in rows))
    assert list(missing(tmp_path, read_rows(file))) == ["b.mp4"]
    with pytest.raises(DataError, match="no such folder"):
        unpack(tmp_path / "no")


def test_files_of_the_user_the_archive_and_the_journal_are_kept(tmp_path: Path) -> None:
    (tmp_path / "keep.jsonl").write_text("mine")
    path = tmp_path / "a.zip"
    archive(path, **{"keep.jsonl": b"theirs, longer", "a.zip": b"x", ".unpacked.jsonl": b"{}\n"})
    with zipfile.ZipFile(path, "a") as out:
        out.writestr("new.txt", b"new")
        with pytest.warns(UserWarning, match="Duplicate"):
            out.writestr("new.txt", b"newer")
    before = path.read_bytes()
    for _ in range(2):  # named again by every start
        (result,) = unpack(tmp_path)
        assert result.kept[:3] == ("keep.jsonl", "a.zip", ".unpacked.jsonl")
        assert (tmp_path / "keep.jsonl").read_text() == "mine"
        assert path.read_bytes() == before
        assert (tmp_path / "new.txt").read_bytes() == b"new"


def test_a_journal_of_other_records_is_passed_over(tmp_path: Path) -> None:
    archive(tmp_path / "a.zip", a_mp4=b"a")
    (tmp_path / ".unpacked.jsonl").write_text("{}\n")
    assert [r.written for r in unpack(tmp_path)] == [1]
    assert unpack(tmp_path) == []
