from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinograd.datasets.jsonl import (
    example_from_json,
    example_to_json,
    iter_examples,
    read_examples,
    write_examples,
)
from kinograd.datasets.seen_keys import SeenKeys
from kinograd.datasets.strict_json import MAX_BYTES
from kinograd.types import Black, Cut, DataError, Example, Kind, Media, MediaType, Span

VIDEO = Media(MediaType.VIDEO, Cut.whole("a.mp4"))
DARK = Media(MediaType.VIDEO, Cut((Span("a.mp4", 0.0, 5.1), Black(2.0), Span("a.mp4", 7.1, None))))
IMAGE = Media(MediaType.IMAGE, Cut.whole("a.png"))

# surrogates cannot stand in UTF-8
words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip)
plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=8,
)
examples = st.builds(
    Example,
    id=words,
    kind=st.sampled_from(Kind),
    question=words.filter(lambda q: "<video>" not in q and "<image>" not in q),
    answer=words,
    media=st.sampled_from([(VIDEO,), (DARK, IMAGE), (VIDEO, VIDEO)]),
    options=st.lists(words, max_size=4).map(tuple),
    rationale=st.none() | words,
    source=st.text(st.characters(exclude_categories=["Cs"])),
    split=words,
    extra=st.dictionaries(words, plain, max_size=3),
)


def row(**changes) -> dict:
    base = example_to_json(Example("a", Kind.OCR, "What?", "it", (VIDEO,)))
    return {k: v for k, v in (base | changes).items() if v is not ...}


def written(path: Path, *lines: bytes | dict) -> Path:
    raw = [x if isinstance(x, bytes) else json.dumps(x).encode() + b"\n" for x in lines]
    path.write_bytes(b"".join(raw))
    return path


@settings(max_examples=40)
@given(st.lists(examples, max_size=4, unique_by=lambda e: e.id))
def test_what_is_written_is_read_back(tmp_path_factory, rows: list[Example]) -> None:
    path = tmp_path_factory.mktemp("jsonl") / "rows.jsonl"
    assert write_examples(path, rows) == len(rows)
    assert list(iter_examples(path)) == rows


def test_short_row_gets_defaults() -> None:
    short = {
        "id": "x",
        "kind": "numerical",
        "question": "How many?",
        "answer": "3",
        "media": [{"type": "video", "path": "a.mp4"}],
    }
    assert example_from_json(short) == Example("x", Kind.NUMERICAL, "How many?", "3", (VIDEO,))


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (row(rationals="x"), "unknown key 'rationals'; did you mean 'rationale'?"),
        (row(kind="essay"), "unknown kind 'essay'; one of multiple_choice"),
        (row(kind=["ocr"]), "unknown kind"),
        (row(answer=...), "missing 'answer'"),
        (row(answer="  "), "'answer' must be a non-empty string"),
        (row(answer=3), "'answer' must be a non-empty string"),
        (row(options="AB"), "'options' must be a list of strings"),
        (row(extra=[]), "'extra' must be an object"),
        (row(rationale=1), "'rationale' must be a string or null"),
        (row(media={}), "must be a list"),
        (row(media=[{"type": "audio", "path": "a.wav"}]), "must be 'video' or 'image'"),
        (row(question="<image> What?"), "names <image> but the media are video"),
        (row(question="<video> and <video>?"), "names <video> <video> but the media are video"),
        (["a"], "a row is a JSON object, not list"),
    ],
)
def test_row_outside_the_contract_names_place_and_reason(tmp_path, bad, reason) -> None:
    good = row(id="good")
    path = written(tmp_path / "rows.jsonl", good, json.dumps(bad).encode() + b"\n")
    with pytest.raises(DataError) as caught:
        read_examples(path)
    assert str(caught.value).startswith(f"{path}:2: ")
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"id": \n', "not JSON"),
        (json.dumps(row(extra={"x": 1})).replace("1}", "NaN}").encode() + b"\n", "NaN is not JSON"),
        (json.dumps(row(extra={"x": 1})).replace("1}", "1e999}").encode() + b"\n", "too large"),
        (json.dumps(row()).encode()[:-1] + b', "id": "b"}\n', "key 'id' occurs twice"),
        (json.dumps(row(answer="\ud800")).encode() + b"\n", "surrogate"),
        (json.dumps(row()).encode() + b"\r\n", "CRLF"),
        (b"\n", "empty"),
        (json.dumps(row(answer="caf\xe9"), ensure_ascii=False).encode("latin-1"), "not UTF-8"),
        (b'{"extra":' + b"[" * 100_000 + b"\n", "not readable JSON"),
        (b" " * (MAX_BYTES + 1), "longer than 16 MiB"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_damaged_line_names_place_and_reason(tmp_path, line: bytes, reason: str) -> None:
    path = written(tmp_path / "rows.jsonl", row(id="good"), line)
    with pytest.raises(DataError) as caught:
        read_examples(path)
    assert str(caught.value).startswith(f"{path}:2: ")
    assert reason in str(caught.value)


def test_byte_order_mark_is_refused(tmp_path) -> None:
    path = written(tmp_path / "rows.jsonl", b"\xef\xbb\xbf", row())
    with pytest.raises(DataError, match=r"rows\.jsonl:1: .*byte-order mark"):
        read_examples(path)


def test_ids_are_unique_over_all_files(tmp_path) -> None:
    one = written(tmp_path / "one.jsonl", row(id="a"), row(id="b"))
    two = written(tmp_path / "two.jsonl", row(id="c"), row(id="a"))
    assert [e.id for e in read_examples(one)] == ["a", "b"]
    with pytest.raises(DataError, match=r"two\.jsonl:2: id 'a' was already used at .*one\.jsonl:1"):
        read_examples([one, two])


def test_missing_and_empty_files_are_named(tmp_path) -> None:
    with pytest.raises(DataError, match=r"no\.jsonl: no such file"):
        read_examples(tmp_path / "no.jsonl")
    with pytest.raises(DataError, match=r"empty\.jsonl: holds no rows"):
        read_examples(written(tmp_path / "empty.jsonl"))


def test_failed_write_leaves_the_old_file(tmp_path) -> None:
    path = tmp_path / "rows.jsonl"
    first = Example("a", Kind.OCR, "What?", "it", (VIDEO,))
    write_examples(path, [first])
    with pytest.raises(DataError, match="two rows have the id 'a'"):
        write_examples(path, [first, first])
    with pytest.raises(DataError, match="example 'b'"):
        write_examples(
            path, [Example("b", Kind.OCR, "q", "a", (VIDEO,), extra={"x": float("nan")})]
        )
    assert read_examples(path) == [first]


def test_last_line_needs_no_newline(tmp_path) -> None:
    path = written(tmp_path / "rows.jsonl", json.dumps(row()).encode())
    assert len(read_examples(path)) == 1


def test_what_a_killed_writer_left_goes(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    out = tmp_path / "rows.jsonl"
    stays = [
        f"rows.jsonl.{os.getppid()}.0.partial",
        f"other.jsonl.{dead.pid}.0.partial",
        "x.partial",
    ]
    for name in (f"rows.jsonl.{dead.pid}.0.partial", *stays):
        (tmp_path / name).write_text("half")
    write_examples(out, [])
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(["rows.jsonl", *stays])


def test_a_full_folder_of_temporary_files_is_an_error_with_a_remedy() -> None:
    seen = SeenKeys()
    seen._table.execute("pragma max_page_count = 2")  # full at once, as a small disk is later
    with pytest.raises(DataError, match="make room there"):
        print([seen.setdefault(str(number), "here") for number in range(1000)])
