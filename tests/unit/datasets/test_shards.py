from __future__ import annotations

from pathlib import Path

import pytest

from kinograd.datasets.formats.shards import manifest_of, read, write_shards
from kinograd.datasets.load import load_examples, read_rows
from kinograd.types import Cut, DataError, Example, Kind, Media, MediaType, UsageError

VIDEO = Media(MediaType.VIDEO, Cut.whole("a.mp4"))


def rows(count: int) -> list[Example]:
    return [Example(f"r{n}", Kind.OCR, "What?", "it", (VIDEO,), ("A. x",)) for n in range(count)]


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
@pytest.mark.parametrize(("count", "shards"), [(10, 3), (2, 4), (0, 2), (2500, 2)])
def test_rows_come_back_in_order(tmp_path: Path, kind: str, count: int, shards: int) -> None:
    folder = tmp_path / "out"
    assert write_shards(folder, rows(count), shards, kind).rows == count
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    manifest = manifest_of(folder)
    assert manifest is not None
    sizes = [s["rows"] for s in manifest["shards"]]
    assert sum(sizes) == count
    assert max(sizes) - min(sizes) <= 1
    assert [row for _, row in read(folder)] == rows(count)
    if count:
        assert list(read_rows(folder)) == rows(count)
        assert load_examples([folder / "manifest.json"]) == (rows(count), [])


def test_damage_is_noticed_before_the_first_row(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    write_shards(folder, rows(6), 2, "jsonl")
    shard = folder / "part-00001-of-00002.jsonl"
    whole = shard.read_bytes()
    shard.write_bytes(whole.replace(b"What", b"When"))
    with pytest.raises(DataError, match="part-00001"):
        read(folder)
    shard.unlink()
    with pytest.raises(DataError, match="missing"):
        read(folder)
    (folder / "manifest.json").write_text('{"shards": [{"file": "../a"}]}')
    with pytest.raises(DataError, match="not a manifest"):
        read_rows(folder)


def test_nothing_is_overwritten_and_nothing_half_written(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    with pytest.raises(DataError, match="two rows have the id 'r0'"):
        write_shards(folder, [*rows(2), *rows(1)], 2, "jsonl")
    assert not [*tmp_path.iterdir()]
    write_shards(folder, rows(2), 2, "jsonl")
    with pytest.raises(UsageError, match="exists"):
        write_shards(folder, rows(2), 2, "jsonl")
