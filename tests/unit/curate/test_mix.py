"""Mixes: exact shares, exact order, no row twice before its source is used up."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinograd.cli import main
from kinograd.curate.mix import Part, Source, allocate, mix, parse_source
from kinograd.datasets.jsonl import read_examples, write_examples
from kinograd.types import DataError, Example, Kind, UsageError


def file(folder: Path, name: str, n: int, start: int = 0) -> Path:
    rows = (
        Example(f"{name}-{i}", Kind.NUMERICAL, f"{i}?", str(i), ()) for i in range(start, start + n)
    )
    write_examples(folder / f"{name}.jsonl", rows)
    return folder / f"{name}.jsonl"


def ids(path: Path) -> list[str]:
    return [e.id for e in read_examples(path)]


def letters(path: Path) -> Counter[str]:
    return Counter(id[0] for id in ids(path))


def test_weights_are_kept_and_no_row_comes_twice(tmp_path: Path) -> None:
    a, b = file(tmp_path, "a", 90), file(tmp_path, "b", 10)
    parts = mix([Source(a, 3.0), Source(b, 1.0)], tmp_path / "m.jsonl")
    assert parts == [Part(a, 30, 90), Part(b, 10, 10)]
    assert letters(tmp_path / "m.jsonl") == {"a": 30, "b": 10}  # and ids are unique
    head = Counter(id[0] for id in ids(tmp_path / "m.jsonl")[:20])
    assert 2 <= head["b"] <= 8


def test_the_order_depends_on_the_seed_alone(tmp_path: Path) -> None:
    a, b = file(tmp_path, "a", 30), file(tmp_path, "b", 20)
    found = []
    for number, seed in enumerate((0, 0, 1)):
        mix([Source(a), Source(b)], tmp_path / f"{number}.jsonl", seed=seed)
        found.append((tmp_path / f"{number}.jsonl").read_bytes())
    assert found[0] == found[1] != found[2]
    assert letters(tmp_path / "0.jsonl") == {"a": 30, "b": 20}
    assert ids(tmp_path / "0.jsonl")[:5] == ["a-29", "a-0", "b-12", "b-5", "a-17"]


def test_a_source_repeats_only_when_it_is_used_up(tmp_path: Path) -> None:
    a, b = file(tmp_path, "a", 40), file(tmp_path, "b", 4)
    sources = [Source(a, 1.0), Source(b, 1.0)]
    with pytest.raises(UsageError, match=r"b\.jsonl has 4 rows and should give 10.*repeat=true"):
        mix(sources, tmp_path / "m.jsonl", rows=20)
    assert not (tmp_path / "m.jsonl").exists()
    mix(sources, tmp_path / "m.jsonl", rows=20, repeat=True)
    given = [id for id in ids(tmp_path / "m.jsonl") if id[0] == "b"]
    epochs = [id.partition("#")[2] for id in given]
    assert epochs == [""] * 4 + ["2"] * 4 + ["3"] * 2
    for start in (0, 4):
        assert {id.partition("#")[0] for id in given[start : start + 4]} == {
            f"b-{i}" for i in range(4)
        }


def test_equal_ids_are_refused_or_prefixed(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    a, b = file(tmp_path, "a", 5), file(tmp_path / "x", "a", 5, start=4)
    b = b.rename(tmp_path / "b.jsonl")
    with pytest.raises(DataError, match=r"b\.jsonl: the id 'a-4' is used in .*prefix=true"):
        mix([Source(a), Source(b)], tmp_path / "m.jsonl")
    mix([Source(a), Source(b)], tmp_path / "m.jsonl", prefix=True)
    assert {"a/a-4", "b/a-4"} <= set(ids(tmp_path / "m.jsonl"))


def test_a_bad_row_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    a, b = file(tmp_path, "a", 5), file(tmp_path, "b", 5)
    b.write_text(b.read_text() + '{"id": "b-9"}\n')
    with pytest.raises(DataError, match=r"b\.jsonl:6: missing 'kind'"):
        mix([Source(a), Source(b)], tmp_path / "m.jsonl")
    with pytest.raises(DataError, match="no such file"):
        mix([Source(tmp_path / "gone.jsonl")], tmp_path / "m.jsonl")
    assert not list(tmp_path.glob("*m.jsonl*"))


def test_rows_stay_as_they_are(tmp_path: Path) -> None:
    row: dict[str, Any] = {"id": "ü", "kind": "ocr", "question": "?", "answer": "é", "media": []}
    row |= {"extra": {"nested": [1, {"a": None}]}}
    (tmp_path / "a.jsonl").write_text(json.dumps(row) + "\n")
    mix([Source(tmp_path / "a.jsonl")], tmp_path / "m.jsonl")
    assert read_examples(tmp_path / "m.jsonl") == read_examples(tmp_path / "a.jsonl")


# ------------------------------------------------------------------- allocation


def counts(texts: list[str], held: list[int], rows: int | None = None, **options: Any) -> list[int]:
    settings: dict[str, Any] = {"temperature": 1.0, "repeat": False} | options
    return allocate([parse_source(t) for t in texts], held, rows, **settings)


def test_a_cap_leaves_the_rest_to_the_others() -> None:
    assert counts(["a=2", "b=1", "c=1@10"], [500, 500, 500], 400) == [260, 130, 10]
    assert counts(["a=1", "b=1@10"], [500, 500]) == [10, 10]
    with pytest.raises(UsageError, match="the caps leave 30"):
        counts(["a@10", "b@20"], [500, 500], 40)


def test_temperature_evens_out() -> None:
    held = [10_000, 100]
    assert counts(["a", "b"], held, 101) == [100, 1]
    assert counts(["a", "b"], held, 110, temperature=2.0) == [100, 10]
    assert counts(["a", "b"], held, 200, temperature=1e9) == [100, 100]
    assert counts(["a@100", "b"], held, 100) == [50, 50]
    with pytest.raises(UsageError, match="temperature"):
        counts(["a=1", "b=1"], held, temperature=2.0)
    with pytest.raises(UsageError, match="b has no weight"):
        counts(["a=1", "b"], held)


@given(
    st.lists(st.tuples(st.floats(0.01, 100), st.integers(1, 1000)), min_size=1, max_size=6),
    st.integers(1, 3000),
)
def test_shares_are_exact_to_a_row(pools: list[tuple[float, int]], rows: int) -> None:
    sources = [Source(Path(str(i)), w) for i, (w, _) in enumerate(pools)]
    held = [n for _, n in pools]
    found = allocate(sources, held, rows, 1.0, repeat=True)
    total = sum(w for w, _ in pools)
    assert sum(found) == rows
    assert all(abs(n - rows * w / total) < 1 for n, (w, _) in zip(found, pools, strict=True))
    largest = allocate(sources, held, None, 1.0, repeat=False)
    assert all(n <= have for n, have in zip(largest, held, strict=True))


@pytest.mark.parametrize("text", ["a.jsonl=x", "a.jsonl@1.5", "a.jsonl=0", "a.jsonl=inf", "a@0"])
def test_a_source_that_is_written_wrong(text: str) -> None:
    with pytest.raises(UsageError, match="a"):
        parse_source(text)


def test_folders_may_hold_the_signs() -> None:
    assert parse_source("x=1@2/a.jsonl") == Source(Path("x=1@2/a.jsonl"))
    assert parse_source("x@y/a.jsonl=2@7") == Source(Path("x@y/a.jsonl"), 2.0, 7)


def test_the_verb_prints_the_composition(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b, out = file(tmp_path, "a", 30), file(tmp_path, "b", 4), tmp_path / "m.jsonl"
    words = ["data", "mix", f"{a}=0.75", f"{b}=0.25", "-o", str(out), "rows=40", "repeat=true"]
    assert main(words) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{out}: 40 rows",
        f"   75.0%  30 of 30  {a}",
        f"   25.0%  10 of 4  {b}, 2.50 times each",
    ]
    assert main([*words[:-1], "temperature=2"]) == 2
    assert "temperature" in capsys.readouterr().err


TEACHER = ("teacher.urls=[http://127.0.0.1:1/v1]", "teacher.model=m")


def test_a_source_is_never_written_over(tmp_path: Path) -> None:
    a = file(tmp_path, "a", 3)
    before = a.read_bytes()
    for words in (
        ["mix", str(a), "-o", str(a)],
        ["annotate", str(a), "-o", str(a), *TEACHER],
        ["proxy", "jigsaw", str(a), "-o", str(a)],
        ["dedup", str(a), "-o", str(a)],
        ["import", str(a), "-o", str(a)],
        ["export", str(a), "-o", str(a)],
    ):
        assert main(["data", *words]) == 2, words
    assert a.read_bytes() == before
    assert [*tmp_path.iterdir()] == [a]
