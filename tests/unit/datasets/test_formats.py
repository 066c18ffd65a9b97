from __future__ import annotations

import json
import sys
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinograd.config.data_formats import FORMAT_MODULES
from kinograd.config.schema import DataConfig
from kinograd.datasets.formats import find_format
from kinograd.datasets.jsonl import example_from_json, example_to_json, read_examples
from kinograd.datasets.load import guess_format, read_rows
from kinograd.datasets.rows import RawRow, Reason, Rejected
from kinograd.datasets.strict_json import MAX_BYTES, parse_json
from kinograd.types import Black, Cut, DataError, Example, Kind, Media, MediaType, Span, UsageError

sys.path.insert(0, str(Path(__file__).parent))
from samples import SAMPLES, VIDEO_R1, published

VIDEO = Media(MediaType.VIDEO, Cut.whole("a.mp4"))
FORMATS = {name: find_format(name) for name in FORMAT_MODULES}
ROWS = {name: form.rows for name, form in FORMATS.items() if form.rows is not None}


def examples_of(path: Path, name: str = "auto") -> list[Example]:
    found = list(read_rows(path, name))
    assert all(isinstance(e, Example) for e in found), found
    return [e for e in found if isinstance(e, Example)]


# --------------------------------------------------------------- samples, round trips


@pytest.mark.parametrize("name", SAMPLES)
def test_the_format_of_published_rows_is_guessed(tmp_path: Path, name: str) -> None:
    path = published(tmp_path, name)
    assert guess_format(path) == name
    found = examples_of(path)
    assert found == examples_of(path, name)
    assert len(found) == len({e.id for e in found})


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("through", ["kinograd", "parquet"])
def test_imports_survive_canonical_files(tmp_path: Path, name: str, through: str) -> None:
    found = examples_of(published(tmp_path, name))
    write = FORMATS[through].write
    assert write is not None
    file = tmp_path / {"kinograd": "rows.jsonl", "parquet": "rows.parquet"}[through]
    assert write(file, found).rows == len(found)
    assert guess_format(file) == through
    assert examples_of(file) == found


def test_video_r1_fields_have_their_places(tmp_path: Path) -> None:
    first, second, third = examples_of(published(tmp_path, "video_r1"))
    assert first.id == "Video-R1-260k-2"
    assert first.kind is Kind.MULTIPLE_CHOICE
    assert first.options == tuple(VIDEO_R1[0]["options"])
    assert first.answer == "A"
    assert first.media[0].cut.paths[0].startswith("LLaVA-Video-178K/")
    assert first.source == "LLaVA-Video-178K/30_60_s_youtube_v0_1"
    assert second.media[0].type is MediaType.IMAGE
    assert third.rationale == "\nLet me think. Seven.\n"  # the supervised target, to the space


def test_fields_without_a_place_are_kept(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(json.dumps(SAMPLES["vidbridge"][0] | {"id": 7, "fps": 2}))
    (row,) = examples_of(tmp_path / "rows.jsonl")
    assert (row.id, row.extra) == ("7", {"vidbridge": {"fps": 2}})


def test_an_answer_in_a_thought_is_not_the_gold_answer(tmp_path: Path) -> None:
    solution = "<think>perhaps <answer>A</answer>? no</think><answer> B </answer><answer>B</answer>"
    (tmp_path / "rows.json").write_text(json.dumps([VIDEO_R1[0] | {"solution": solution}]))
    assert [e.answer for e in examples_of(tmp_path / "rows.json")] == ["B"]


def test_ids_made_from_content_do_not_change_with_the_neighbours(tmp_path: Path) -> None:
    path = published(tmp_path, "vidbridge")
    whole = examples_of(path)
    path.write_text("".join(path.read_text().splitlines(keepends=True)[2:]))
    assert examples_of(path) == whole[2:]


def test_the_published_reformatting_of_llava_swift(tmp_path: Path) -> None:
    (first, second) = examples_of(published(tmp_path, "llava_swift"))
    assert (first.question, first.answer) == (
        "What is the man doing?\nA. Running\nB. Cooking\n",
        "B.",
    )
    assert second.question == "Which? "
    assert first.extra["llava_swift"]["response"] == "B. Cooking."
    cut_off = {"query": "Why? Please", "response": "Because", "videos": "a.mp4"}
    assert rejected("llava_swift", cut_off) is Reason.ANSWER
    row = SAMPLES["open_r1_video"][0]
    cut_off = row | {"solution": "<answer>Be</answer>", "original_answer": "Because"}
    assert rejected("open_r1_video", cut_off) is Reason.ANSWER
    (path := tmp_path / "no.jsonl").write_text(json.dumps(cut_off | {"original_answer": "Be"}))
    assert [e.kind for e in examples_of(path)] == [Kind.FREE_FORM]


def test_messages_go_out_as_they_came(tmp_path: Path) -> None:
    rows = examples_of(published(tmp_path, "messages"))
    write = find_format("messages").write
    assert write is not None
    assert write(tmp_path / "again.jsonl", rows).rows == len(rows) == 2
    again = examples_of(tmp_path / "again.jsonl")
    assert [(e.id, e.kind, e.answer, e.media, e.rationale) for e in again] == [
        (e.id, e.kind, e.answer, e.media, e.rationale) for e in rows
    ]
    assert rows[0].extra == {"messages": {"system": "Be brief."}}


def test_messages_cannot_hold_cuts(tmp_path: Path) -> None:
    dark = Cut((Span("a.mp4", 0.0, 5.0), Black(2.0)))
    example = Example("x", Kind.DARK_EVENT, "What?", "that", (Media(MediaType.VIDEO, dark),))
    write = find_format("messages").write
    assert write is not None
    written = write(tmp_path / "out", [example])
    assert (written.rows, [r.id for r in written.left_out]) == (0, ["x"])


# --------------------------------------------------------------------- annotations


@pytest.mark.parametrize(
    ("annotations", "path"),
    [
        (
            {"v_1": {"duration": 9.0, "timestamps": [[3, 9], [0, 3]], "sentences": ["b.", "a"]}},
            "v_1.mp4",
        ),
        (
            {
                "database": {
                    "v_1": {
                        "recipe_type": "101",
                        "annotations": [
                            {"id": 0, "segment": [0, 3], "sentence": "a"},
                            {"id": 1, "segment": [3, 9], "sentence": "b."},
                        ],
                    }
                }
            },
            "101/v_1.mp4",
        ),
    ],
    ids=["activitynet", "youcook2"],
)
def test_other_annotations_of_events(tmp_path: Path, annotations: dict, path: str) -> None:
    file = tmp_path / "events.json"
    file.write_text(json.dumps(annotations, indent=1))
    (found,) = examples_of(file)
    assert found.media[0].cut.paths == (path,)
    assert found.answer == "a. b."
    assert [e["start"] for e in found.extra["events"]] == [0.0, 3.0]


def test_a_layout_says_where_media_lie(tmp_path: Path) -> None:
    (coin,) = read_rows(published(tmp_path, "coin"), "coin", "{subset}/{class}/{id}.mp4")
    first, _ = read_rows(published(tmp_path, "kinetics"), layout="{label}/{youtube_id}.mp4")
    assert isinstance(coin, Example)
    assert isinstance(first, Example)
    assert coin.media[0].cut.paths == ("training/ArcWeld/4MiubN1oQkg.mp4",)
    assert first.media[0].cut.paths == ("answering, questions/-0OqMw2kcLE.mp4",)
    (lost,) = read_rows(published(tmp_path, "coin"), "coin", "{nothing}.mp4")
    assert isinstance(lost, Rejected)
    with pytest.raises(UsageError, match="leave layout out"):
        read_rows(published(tmp_path, "video_r1"), layout="{id}.mp4")


# ------------------------------------------------------------------------ bad rows


def rejected(name: str, row: object) -> Reason | None:
    form = ROWS[name]
    found = form.example(RawRow("file:1", row), "file")
    return found.reason if isinstance(found, Rejected) else None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"problem": None}, Reason.SCHEMA),
        ({"problem": 3}, Reason.SCHEMA),
        ({"problem": " "}, Reason.SCHEMA),
        ({"problem_id": None}, Reason.SCHEMA),
        ({"problem_id": True}, Reason.SCHEMA),
        ({"problem_type": "essay"}, Reason.KIND),
        ({"data_type": "audio"}, Reason.SCHEMA),
        ({"options": "A. x"}, Reason.SCHEMA),
        ({"options": ["A. x", 2]}, Reason.SCHEMA),
        ({"solution": "A"}, Reason.ANSWER),
        ({"solution": "<answer> </answer>"}, Reason.ANSWER),
        ({"solution": "<think><answer>A</answer></think>"}, Reason.ANSWER),
        ({"solution": "<answer>A</answer> or <answer>B</answer>"}, Reason.ANSWER),
        ({"options": ["A. <video>", "B. x"]}, Reason.SCHEMA),
        ({"path": "/data/a.mp4"}, Reason.PATH),
        ({"path": "C:\\data\\a.mp4"}, Reason.PATH),
        ({"path": "C:/data/a.mp4"}, Reason.PATH),
        ({"path": "videos\\a.mp4"}, Reason.PATH),
        ({"path": "https://example.org/a.mp4"}, Reason.PATH),
        ({"path": "./a/../../b.mp4"}, Reason.PATH),
        ({"path": "./"}, Reason.PATH),
        ({"path": ""}, Reason.SCHEMA),
        ({"path": None}, Reason.SCHEMA),
        ({"process": 3}, Reason.SCHEMA),
        ({"data_source": None}, Reason.SCHEMA),
        ({"problem": "<video> and <video>?"}, Reason.SCHEMA),
    ],
    ids=str,
)
def test_bad_rows_are_rejected_by_reason(change: dict, reason: Reason) -> None:
    assert rejected("video_r1", VIDEO_R1[0]) is None
    assert rejected("video_r1", VIDEO_R1[0] | change) is reason


ROW = json.dumps(VIDEO_R1[0]).encode()


def renumbered(number: int) -> bytes:
    return ROW.replace(b'"problem_id": 2', b'"problem_id": %d' % number)


BAD_LINES = {
    "cut off": b'{"problem_id": 1, "problem": "Wh',
    "NaN": ROW.replace(b": 2", b": NaN"),
    "infinite": ROW.replace(b": 2", b": 1e999"),
    "key twice": b'{"problem_id": 1, ' + ROW[1:],
    "not UTF-8": ROW.replace(b"missile", b"mi\xffsile"),
    "half a character": ROW.replace(b"missile", b"\\ud800"),
    "a number": b"17",
    "too long": b'"' + b"x]," * (MAX_BYTES // 3 + 10) + b'"',
    "too many parts": b"[" + b'"\\"",' * (MAX_BYTES // 5 + 10) + b"0]",
}


@pytest.mark.parametrize("what", [*BAD_LINES, "same id"])
@pytest.mark.parametrize("listed", [False, True], ids=["lines", "list"])
def test_a_bad_row_costs_itself_alone(tmp_path: Path, what: str, listed: bool) -> None:
    rows = [renumbered(1), BAD_LINES.get(what, renumbered(1)), renumbered(3)]
    path = tmp_path / "rows.json"
    path.write_bytes(b"[" + b",\n".join(rows) + b"]" if listed else b"\n".join(rows))
    found = list(read_rows(path, "video_r1"))
    good = [e.id for e in found if isinstance(e, Example)]
    (bad,) = (r for r in found if isinstance(r, Rejected))
    assert bad.where == (f"{path}[1]" if listed else f"{path}:2")
    ends = listed and what == "cut off"  # nobody knows where it would end
    assert good == ["rows-1"] if ends else ["rows-1", "rows-3"]
    if ends:
        assert "the rest of the file could not be read" in bad.detail
        assert f"character {len(renumbered(1)) + 3}" in bad.detail


@pytest.mark.parametrize(
    ("text", "good"),
    [
        (b"\xef\xbb\xbf%s\r\n\r\n%s\r\n", True),
        (b"\xef\xbb\xbf [\r\n%s,\r\n%s\r\n]\r\n", True),
        (b"\n\n%s\n%s", True),
        (b"[%s,%s,]", False),
        (b"[%s,%s", False),
        (b"[%s]\n[%s]\n", False),
        (b"[%s,%s}]", False),
    ],
    ids=[
        *("bom crlf lines", "bom crlf list", "empty lines", "trailing comma", "no end"),
        *("two lists", "a bracket too many"),
    ],
)
def test_what_editors_and_windows_do_to_files(tmp_path: Path, text: bytes, good: bool) -> None:
    path = tmp_path / "rows.json"
    path.write_bytes(text % (renumbered(1), renumbered(2)))
    found = list(read_rows(path, "video_r1"))
    assert [type(f) for f in found][:1] == [Example]
    assert all(isinstance(f, Example) for f in found) == good


def test_a_list_spans_many_blocks(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    long = {"problem": 'x"[}\\' * 100_000}  # half a block of what could be mistaken for structure
    path.write_text(json.dumps([VIDEO_R1[0] | long | {"problem_id": n} for n in range(9)]))
    assert [e.id for e in examples_of(path)] == [f"rows-{n}" for n in range(9)]


def test_files_that_cannot_be_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_rows(tmp_path / "no.json")
    (tmp_path / "odd.jsonl").write_text('{"a": 1}\n')
    with pytest.raises(DataError, match="format=NAME"):
        read_rows(tmp_path / "odd.jsonl")
    with pytest.raises(UsageError, match="unknown format"):
        read_rows(tmp_path / "odd.jsonl", "csv")
    with pytest.raises(DataError, match=r"without manifest\.json"):
        read_rows(tmp_path)
    (tmp_path / "rows.parquet").write_bytes(b"PAR1 no")
    (found,) = read_rows(tmp_path / "rows.parquet", "parquet")
    assert isinstance(found, Rejected)


def test_recipes_know_the_formats_of_files() -> None:
    schema = DataConfig.model_json_schema()["properties"]["format"]
    assert schema["enum"] == [name for name in FORMAT_MODULES if name not in ("shards", "hub")]
    with pytest.raises(ValueError, match="did you mean 'vidbridge'"):
        DataConfig(format="vidbrige")


# --------------------------------------------------------------------- properties

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
hints = st.sampled_from(
    [
        *("<answer>A</answer>", "<answer>3", "a.mp4", "../a.mp4", "<video>?", "video", "image"),
        *("numerical", "MCQA", "user", "assistant", "<think>x</think>B", "free_form"),
    ]
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts | hints,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts | hints, inner, max_size=3),
    max_leaves=6,
)


def rows_like(name: str) -> st.SearchStrategy:
    """Rows of a format of which some fields are anything."""
    base = st.sampled_from(SAMPLES[name])
    keys = st.sampled_from([*SAMPLES[name][0], "id", "kind", "process", "image", "odd"])
    return st.builds(lambda row, odd: row | odd, base, st.dictionaries(keys, values, max_size=3))


@pytest.mark.parametrize("name", ROWS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_value_crashes_an_importer(name: str, data: st.DataObject) -> None:
    form = ROWS[name]
    row = data.draw(rows_like(name) | values)
    assert form is not None
    found = form.example(RawRow("file:1", row), "file")
    if isinstance(found, Rejected):
        assert found.detail
        return
    text = json.dumps(example_to_json(found), allow_nan=False).encode()
    assert example_from_json(parse_json(text)) == found


@pytest.mark.parametrize("name", [n for n in FORMATS if n not in ("hub", "parquet", "shards")])
@settings(max_examples=25, deadline=None)
@given(value=values, raw=st.binary(max_size=40))
def test_no_file_crashes_an_importer(tmp_path_factory, name: str, value: object, raw) -> None:
    path = tmp_path_factory.mktemp("any") / "file.json"
    record = {"database": {"v": {"annotation": value, "recipe_type": value}}, "x": value}
    for data in (raw, json.dumps(value).encode(), json.dumps(record).encode(), b"[" + raw):
        path.write_bytes(data)
        try:
            assert all(isinstance(found, Example | Rejected) for found in read_rows(path, name))
        except DataError as error:
            assert str(error) == f"{path}: holds no rows"  # noqa: PT017 - it may as well have some


# ------------------------------------------------------------------------- scale


def test_many_rows_in_constant_memory(tmp_path: Path) -> None:
    path, rows, padding = tmp_path / "rows.json", 3_000, b" " * 5_000
    with path.open("w") as stream:
        for number in range(rows):
            stream.write(("," if number else "[") + (renumbered(number) + padding).decode())
        stream.write("]")
    read_examples_would_hold = path.stat().st_size  # at the least
    tracemalloc.start()
    try:
        assert sum(isinstance(e, Example) for e in read_rows(path)) == rows
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < min(8 << 20, read_examples_would_hold)


def test_canonical_files_read_alike_either_way(tmp_path: Path) -> None:
    rows = [Example(str(n), Kind.OCR, "What?", "it", (VIDEO,)) for n in range(3)]
    write = FORMATS["kinograd"].write
    assert write is not None
    write(tmp_path / "rows.jsonl", rows)
    assert examples_of(tmp_path / "rows.jsonl") == read_examples(tmp_path / "rows.jsonl") == rows
    raw = (tmp_path / "rows.jsonl").read_bytes().replace(b"\n", b"\r\n", 1)
    (tmp_path / "rows.jsonl").write_bytes(raw)
    bad, *good = read_rows(tmp_path / "rows.jsonl")
    assert isinstance(bad, Rejected)
    assert good == rows[1:]
