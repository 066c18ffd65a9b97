"""``data validate``: what is rejected and why, on real clips."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kinograd.config.synthetic import SyntheticConfig
from kinograd.curate.answer_leak import find_leak
from kinograd.curate.validate import check_paths, check_text
from kinograd.datasets.jsonl import read_examples
from kinograd.synthetic.build import build
from kinograd.synthetic.mp4_writer import write_mp4
from kinograd.types import Cut, Example, Kind, Media, MediaType


def example(question: str, answer: str, kind: Kind = Kind.FREE_FORM) -> Example:
    return Example("x", kind, question, answer, ())


def choice(question: str, *options: str) -> Example:
    """The first option is the right one."""
    return Example("x", Kind.MULTIPLE_CHOICE, question, "A", (), options)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """a.mp4 and b.mp4 of two seconds, half.mp4 cut off, text.mp4 no film."""
    root = tmp_path_factory.mktemp("films")
    for number, name in enumerate("ab"):
        shade = np.full((8, 56, 56, 3), 60, np.uint8)
        shade[:, 10 + 20 * number : 30 + 20 * number, 5:25] = (200, 30, 30)
        write_mp4(root / f"{name}.mp4", shade)
    whole = (root / "a.mp4").read_bytes()
    (root / "half.mp4").write_bytes(whole[: len(whole) // 2])
    (root / "text.mp4").write_text("no film")
    return root


def test_each_fault_has_its_reason(shelf: Any, films: Path, tmp_path: Path) -> None:
    choice = {"kind": "multiple_choice", "options": ["A. red", "B. blue"]}
    cut = [{"path": "a.mp4", "start": 1.0, "end": 9.0}]
    expected = {
        "good": None,
        "good cut": None,
        "json": "json",
        "schema": "schema",
        "good again": "duplicate",
        "asked again": "duplicate",
        "options": "options",
        "no option": "options",
        "answer": "answer",
        "leak": "leak",
        "absolute": "path",
        "windows": "path",
        "up": "path",
        "link": "path",
        "missing": "missing",
        "half": "clip",
        "text": "clip",
        "long cut": "clip",
    }
    (films / "out.mp4").unlink(missing_ok=True)
    (films / "out.mp4").symlink_to(tmp_path / "elsewhere.mp4")
    (tmp_path / "elsewhere.mp4").write_bytes((films / "a.mp4").read_bytes())

    rows: list[dict[str, Any] | str] = [
        shelf.row("good"),
        shelf.row("good cut", media=[{"type": "video", "cut": [{"path": "b.mp4", "start": 0.5}]}]),
        '{"id": "json", ',
        {"id": "schema", "kind": "free_form"},
        shelf.row("good", question="Another?"),
        shelf.row("asked again", question="<video> why GOOD"),
        shelf.row("options", **choice | {"options": ["red", "Red."]}, answer="A"),
        shelf.row("no option", **choice, answer="C"),
        shelf.row("answer", kind="numerical", answer="many"),
        shelf.row("leak", question="Is it that yes, he does?", answer="Yes he does."),
        shelf.row("absolute", "/etc/a.mp4"),
        shelf.row("windows", "clips\\a.mp4"),
        shelf.row("up", "x/../../a.mp4"),
        shelf.row("link", "out.mp4"),
        shelf.row("missing", "none.mp4"),
        shelf.row("half", "half.mp4"),
        shelf.row("text", "text.mp4"),
        shelf.row("long cut", media=[{"type": "video", "cut": cut}]),
    ]
    shelf.write(tmp_path / "rows.jsonl", rows)
    status, shown = shelf.run("validate", tmp_path / "rows.jsonl", f"media_root={films}")
    assert status == 1
    folder = tmp_path / "rows.jsonl.validated"
    assert {p.name for p in folder.iterdir()} == {"valid.jsonl", "quarantine.jsonl", "report.json"}
    found = [json.loads(line) for line in (folder / "quarantine.jsonl").read_text().splitlines()]
    wanted = [(f"{tmp_path}/rows.jsonl:{i}", r) for i, r in enumerate(expected.values(), 1) if r]
    assert [(f["where"], f["reason"]) for f in found] == wanted, found
    assert found[-1]["row"]["id"] == "long cut"
    assert [e.id for e in read_examples(folder / "valid.jsonl")] == ["good", "good cut"]
    report = json.loads((folder / "report.json").read_text())
    assert (report["rows"], report["valid"]) == (18, 2)
    assert report["rejected"]["path"] == 4
    assert report["by_source"]["(unread)"]["rejected"] == {"json": 1, "schema": 1}
    again = next(f for f in found if f["detail"].startswith("the id was already used at"))
    assert again["detail"].endswith(f"{tmp_path}/rows.jsonl:1")
    assert again["row"]["question"] == "Another?"
    assert "opened, not decoded" in shown


def test_the_synthetic_world_validates_decoded_and_in_parallel(shelf: Any, tmp_path: Path) -> None:
    build(SyntheticConfig(splits={"rows": 30}, workers=1), tmp_path)
    arguments = ["validate", tmp_path / "rows.jsonl", f"media_root={tmp_path}", "video.nframes=4"]
    assert shelf.run(*arguments, "decode=true", "--out", tmp_path / "one")[0] == 0
    assert shelf.run(*arguments, "workers=2", "--out", tmp_path / "two")[0] == 0
    for name in ("valid.jsonl", "quarantine.jsonl"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_decoding_finds_what_opening_does_not(shelf: Any, films: Path, tmp_path: Path) -> None:
    data = bytearray((films / "a.mp4").read_bytes())
    middle = data.index(b"mdat") + 64
    data[middle : middle + 1500] = bytes(1500)
    (films / "worn.mp4").write_bytes(data)
    shelf.write(
        tmp_path / "rows.jsonl", [shelf.row("worn", media=[{"type": "video", "path": "worn.mp4"}])]
    )
    arguments = ["validate", tmp_path / "rows.jsonl", f"media_root={films}"]
    assert shelf.run(*arguments)[0] == 0
    assert shelf.run(*arguments, "decode=true", "video.nframes=4")[0] == 1


def test_foreign_files_and_several_at_once(shelf: Any, films: Path, tmp_path: Path) -> None:
    record = {
        **{"problem_id": 1, "problem": "Which?", "data_type": "video", "path": "./a.mp4"},
        **{"problem_type": "multiple choice", "options": ["A. x", "B. y"], "data_source": "V"},
    }
    records = [record | {"solution": f"<answer>{answer}</answer>"} for answer in "BC"]
    records[1] |= {"problem_id": 2}
    (tmp_path / "foreign.json").write_text(json.dumps(records))
    shelf.write(tmp_path / "rows.jsonl", [shelf.row("a")])
    files = tmp_path / "foreign.json", tmp_path / "rows.jsonl"
    assert shelf.run("validate", *files, f"media_root={films}")[0] == 1
    folder = tmp_path / "foreign.json.validated"
    (found,) = map(json.loads, (folder / "quarantine.jsonl").read_text().splitlines())
    assert (found["where"], found["reason"]) == (f"{tmp_path}/foreign.json[1]", "options")
    assert [e.source for e in read_examples(folder / "valid.jsonl")] == ["V", "s"]


def test_without_a_media_root_no_file_is_opened(shelf: Any, tmp_path: Path) -> None:
    shelf.write(tmp_path / "rows.jsonl", [shelf.row("a"), shelf.row("b")])
    status, shown = shelf.run("validate", tmp_path / "rows.jsonl")
    assert status == 0
    assert "not checked" in shown


@pytest.mark.parametrize(
    ("case", "leaks"),
    [
        (choice("The answer is A. Which one?", "x", "y"), True),
        (example("Answer: 42. How many?", "42", Kind.NUMERICAL), True),
        (example("He pours tea slowly. What does he do?", "pours tea slowly"), True),
        (example("Does he pour the tea or drink it?", "drink it"), False),
        (example("Answer: yes or no?", "yes"), False),
        (example("Is the red car fast?", "red"), False),
        (example("How many of the 3 men sit?", "3", Kind.NUMERICAL), False),
        (choice("Why, after he lifts the cup?", "he lifts the cup", "tea"), True),
        (
            choice("he lifts the cup, she drops it: first?", "he lifts the cup", "she drops it"),
            False,
        ),
    ],
)
def test_leaks(case: Example, leaks: bool) -> None:
    assert (find_leak(case) is not None) is leaks


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (choice("Which?", "B. red", "A. blue"), "come in the order B, A"),
        (choice("Which?", *map(str, range(27))), "more than there are letters"),
        (choice("In <video>?", "red", "blue"), "the question names"),
    ],
)
def test_what_training_would_refuse_is_refused(row: Example, why: str) -> None:
    _, found = check_text(row) or (None, "")
    assert why in found


def test_a_placeholder_in_an_option_is_no_medium() -> None:
    assert check_text(choice("Which tag?", "<video>", "<image>")) is None


def test_checks_of_text_and_paths() -> None:
    assert check_text(example("What?", "tea", Kind.DARK_EVENT)) is None
    reason, why = check_text(example("What?", "<b>", Kind.OCR)) or (None, "")
    assert reason is None or why
    for path in ("C:/a.mp4", "http://h/a.mp4", "..", "a/..", "a\0b"):
        media = Media(MediaType.VIDEO, Cut.whole(path))
        assert check_paths(Example("x", Kind.OCR, "?", "a", (media,))) is not None, path
    media = Media(MediaType.VIDEO, Cut.whole("a..b/c d.mp4"))
    assert check_paths(Example("x", Kind.OCR, "?", "a", (media,))) is None


def test_places_of_foreign_rows_are_lines_of_their_file(shelf: Any, tmp_path: Path) -> None:
    row = {"video_filename": "./a.mp4", "problem": "how many?", "solution": "<answer> 1 </answer>"}
    again, other = row | {"id": "again"}, row | {"problem": "which?", "id": "again"}
    text = "\n\n\n".join(map(json.dumps, (row, again, other)))
    (tmp_path / "dvd.jsonl").write_text(text)
    assert shelf.run("validate", tmp_path / "dvd.jsonl", "--out", tmp_path / "out")[0] == 1
    found = map(json.loads, (tmp_path / "out" / "quarantine.jsonl").read_text().splitlines())
    assert [(f["where"], f["detail"]) for f in found] == [
        (
            f"{tmp_path}/dvd.jsonl:4",
            f"the same question about the same clip as {tmp_path}/dvd.jsonl:1",
        ),
        (f"{tmp_path}/dvd.jsonl:7", f"the id was already used at {tmp_path}/dvd.jsonl:4"),
    ]


def test_a_source_named_like_markup_is_shown_as_it_is(shelf: Any, tmp_path: Path) -> None:
    shelf.write(tmp_path / "rows.jsonl", [shelf.row("a", source="[/x]")])
    for words in (["validate"], ["stats"]):
        status, shown = shelf.run(*words, tmp_path / "rows.jsonl")
        assert status == 0
        assert "[/x]" in shown
