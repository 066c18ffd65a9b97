from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path

from kinograd.cli import main
from kinograd.datasets.load import read_rows

sys.path.insert(0, str(Path(__file__).parents[1] / "datasets"))
from samples import VIDEO_R1, content, published


def kinograd(*words: str | Path) -> int:
    return main(["data", *map(str, words)])


def test_import_and_export(tmp_path: Path, capsys) -> None:
    source, out = published(tmp_path, "video_r1"), tmp_path / "rows.jsonl"
    assert kinograd("import", source, "-o", out) == 0
    told = capsys.readouterr()
    assert "3 rows" in told.out
    assert "rows/s" in told.err
    assert kinograd("import", out, "-o", f"{tmp_path}/shards/", "shards=2") == 0
    assert list(read_rows(tmp_path / "shards")) == list(read_rows(out))
    assert kinograd("export", tmp_path / "shards", "-o", tmp_path / "rows.parquet") == 0
    assert list(read_rows(tmp_path / "rows.parquet")) == list(read_rows(out))


def test_too_many_bad_rows_are_a_failure(tmp_path: Path, capsys) -> None:
    source, out = tmp_path / "v.json", tmp_path / "rows.jsonl"
    source.write_text(json.dumps([*VIDEO_R1, VIDEO_R1[0] | {"problem_id": 9, "solution": "A"}]))
    assert kinograd("import", source, "-o", out) == 1
    assert "1 left out: answer" in capsys.readouterr().out
    (bad,) = content(tmp_path / "rows.quarantine.jsonl")
    assert (bad["where"], bad["reason"]) == (f"{source}[2]", "answer")
    assert kinograd("import", source, "-o", out, "max_rejected=0.4") == 0
    assert len(content(out)) == 2


def test_a_source_without_rows_leaves_nothing(tmp_path: Path, capsys) -> None:
    source = tmp_path / "v.jsonl"
    for text, told in (("", "holds no rows"), ("{bad\n", f"{source}:1: not JSON")):
        source.write_text(text)
        assert kinograd("import", source, "-o", tmp_path / "out.jsonl") == 1
        assert told in capsys.readouterr().err
        assert [p.name for p in tmp_path.iterdir()] == [source.name]
    assert kinograd("import", source, "-o", tmp_path / "out.jsonl", "format=video_r1") == 1
    assert "no row of" in capsys.readouterr().err


def test_usage(tmp_path: Path, capsys) -> None:
    assert kinograd("import", "--list") == 0
    assert "video_r1" in capsys.readouterr().out
    source = published(tmp_path, "video_r1")
    assert kinograd("import", source) == 2
    assert kinograd("import", source, "-o", tmp_path) == 2
    assert kinograd("validate", source, f"media_root={tmp_path}/none") == 2
    assert kinograd("dedup", source, "-o", source) == 2
    proven = source.rename(tmp_path / "valid.jsonl")
    assert kinograd("validate", proven, "--out", tmp_path) == 2
    source = proven
    assert kinograd("export", source) == 2
    assert kinograd("export", source, "-o", tmp_path / "x", "format=hub") == 2
    assert kinograd("export", source, "-o", tmp_path / "x", "format=vidbridge") == 2
    assert "read only" in capsys.readouterr().err


def test_unpack_lists_what_is_missing(tmp_path: Path, capsys) -> None:
    data = published(tmp_path, "vidbridge")
    with zipfile.ZipFile(tmp_path / "clips.zip", "w") as out:
        for name in ("clips/0.mp4", "clips/1.mp4", "clips/2.mp4"):
            out.writestr(name, b"x")
    assert kinograd("unpack", tmp_path, data) == 1
    assert "missing: images/3.jpg" in capsys.readouterr().out
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "3.jpg").write_bytes(b"x")
    assert kinograd("unpack", tmp_path, data) == 0
