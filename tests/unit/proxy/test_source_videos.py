"""Films are what was probed: bad ones are told apart, and no source is in two splits."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kinograd.config.video import VideoConfig
from kinograd.curate.events import Event, annotated_events, shots, split_long
from kinograd.curate.selection import locate
from kinograd.datasets.rows import Reason, Rejected, RowResult
from kinograd.proxy.jigsaw import Jigsaw
from kinograd.proxy.mix_vid import MixVid
from kinograd.proxy.needles import Needles
from kinograd.proxy.produce import build_rows
from kinograd.proxy.source_video import (
    SourceVideo,
    assign_splits,
    make_prober,
    raw_clips,
)
from kinograd.proxy.task import ProxyTask
from kinograd.synthetic.mp4_writer import write_mp4
from kinograd.types import (
    Black,
    Cut,
    DataError,
    Example,
    Kind,
    Media,
    MediaType,
    Span,
    UsageError,
)
from kinograd.video.faults import ClipError

from .conftest import GROUNDS, scene


def row(*media: Media, **over: Any) -> Example:
    return Example("a", Kind.FREE_FORM, "?", "!", media, **over)


def whole(path: str) -> Media:
    return Media(MediaType.VIDEO, Cut.whole(path))


@pytest.mark.parametrize(
    ("bad", "reason", "message"),
    [
        (row(whole("gone.mp4")), Reason.MISSING, "no such file"),
        (row(whole("../x.mp4")), Reason.PATH, "outside"),
        (row(whole("text.mp4")), Reason.CLIP, "not a video file"),
        (row(whole("cut.mp4")), Reason.CLIP, ""),
        (row(whole("red.mp4"), whole("red.mp4")), Reason.SCHEMA, "exactly one video"),
        (row(Media(MediaType.IMAGE, Cut.whole("red.mp4"))), Reason.SCHEMA, "exactly one video"),
        (row(Media(MediaType.VIDEO, Cut((Span("red.mp4", 50.0),)))), Reason.CLIP, "starts at 50"),
        (row(whole("red.mp4"), extra={"events": 3}), Reason.SCHEMA, "must be a list"),
        (
            row(whole("red.mp4"), extra={"events": [{"start": 4, "end": 2, "text": "x"}]}),
            Reason.SCHEMA,
            "no stretch of time",
        ),
    ],
)
def test_what_is_no_film_says_why(
    bad: Example, reason: Reason, message: str, clips: Path, tmp_path: Path
) -> None:
    (tmp_path / "text.mp4").write_text("not a video")
    data = (clips / "red.mp4").read_bytes()
    (tmp_path / "red.mp4").write_bytes(data)
    (tmp_path / "cut.mp4").write_bytes(data[: len(data) // 2])
    found = make_prober(str(tmp_path))(("rows:7", bad))
    assert isinstance(found, Rejected)
    assert (found.where, found.id, found.reason) == ("rows:7", "a", reason)
    assert message in found.detail


def test_a_film_that_is_a_cut_already_is_cut_along_its_own_timeline(clips: Path) -> None:
    cut = Cut((Span("red.mp4", 2.0, 4.0), Black(1.0), Span("blue.mp4", 5.0)))
    video = make_prober(str(clips))(("rows:1", row(Media(MediaType.VIDEO, cut))))
    assert isinstance(video, SourceVideo)
    assert video.duration == pytest.approx(10.0)
    assert video.show(1.0, 4.0) == (
        Span("red.mp4", 3.0, 4.0),
        Black(1.0),
        Span("blue.mp4", 5.0, 6.0),
    )
    assert video.show(2.25, 2.5) == (Black(0.25),)


def test_raw_clips_are_found_by_name(clips: Path, tmp_path: Path) -> None:
    found = list(raw_clips(clips, clips.parent))
    assert [e.id for e in found] == [f"{clips.name}/{name}.mp4" for name in sorted(GROUNDS)]
    assert {(e.question, e.answer) for e in found} == {("", "")}
    with pytest.raises(UsageError, match="holds no videos"):
        list(raw_clips(tmp_path, tmp_path))
    with pytest.raises(DataError, match="outside the media root"):
        list(raw_clips(clips, tmp_path))


# ------------------------------------------------------------------------ splits


@pytest.mark.parametrize("task", [MixVid, Needles])
def test_no_source_is_in_two_splits(
    task: type[ProxyTask], rows: list[Example], clips: Path, tmp_path: Path
) -> None:
    """Not under another name either, and both clips of a mix counted."""
    root = tmp_path / "media"
    shutil.copytree(clips, root)
    again = []
    for example in rows:
        name = example.media[0].cut.paths[0]
        shutil.copyfile(root / name, root / f"copy-{name}")
        asked = f"Another question about {name}?"
        media = (whole(f"copy-{name}"),)
        again.append(replace(example, id=f"{example.id}-copy", question=asked, media=media))
    both = 0
    for seed in range(6):
        settings = task(media_root=str(root), seed=seed, test_fraction=0.5)
        found = list(build_rows(locate([*rows, *again], "rows"), settings))
        shown: dict[str, set[str]] = {"train": set(), "test": set()}
        for example in found:
            if isinstance(example, Example):
                paths = {path.removeprefix("copy-") for path in example.media[0].cut.paths}
                assert len(paths) == 2
                shown[example.split] |= paths
        assert not shown["train"] & shown["test"]
        both += all(shown.values())
    assert both >= 3


def test_a_row_that_takes_from_both_splits_is_left_out(videos: list[SourceVideo]) -> None:
    a, b = (replace(f, split=s) for f, s in zip(videos, ("train", "test"), strict=False))
    both = replace(videos[2], sources=(*a.sources, *b.sources))
    found = list(assign_splits([a, b, both], None, 0))
    assert found[:2] == [a, b]
    assert isinstance(found[2], Rejected)
    assert "shares a source file with split test" in found[2].detail


def test_without_a_fraction_rows_keep_their_split(videos: list[SourceVideo]) -> None:
    kept = [replace(f, split=f"s{i}") for i, f in enumerate(videos)]
    assert list(assign_splits(kept, None, 0)) == kept


def test_workers_change_nothing(rows: list[Example], clips: Path) -> None:
    bad: list[RowResult] = [Rejected("rows:9", Reason.JSON, "not JSON"), row(whole("gone.mp4"))]
    found = []
    for workers in (1, 2):
        task = Jigsaw(media_root=str(clips), workers=workers)
        found.append(list(build_rows(locate([*rows, *bad, rows[0]], "rows"), task)))
    assert found[0] == found[1]
    gone = [r for r in found[0] if isinstance(r, Rejected)]
    assert [r.reason for r in gone] == [Reason.JSON, Reason.MISSING, Reason.DUPLICATE]
    assert len(found[0]) == 9


# ------------------------------------------------------------------------ events


def test_events_without_words_or_time_are_passed_over() -> None:
    events = [
        {"start": 3, "end": 4, "text": " b "},
        {"start": 1, "end": 2, "text": "a"},
        {"frame": 3, "does": "something"},
        {"start": 1, "end": 2, "text": ""},
        "words",
    ]
    found = annotated_events(row(extra={"events": events}))
    assert found == (Event(1.0, 2.0, "a"), Event(3.0, 4.0, "b"))
    assert annotated_events(row()) == ()


@pytest.mark.parametrize("bad", [{"start": "x", "end": 2}, {"start": 0, "end": float("nan")}])
def test_events_at_no_time_are_errors(bad: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=r"extra.events\[0\]"):
        annotated_events(row(extra={"events": [{**bad, "text": "x"}]}))


def test_shots_end_where_the_picture_changes(tmp_path: Path) -> None:
    pytest.importorskip("scenedetect", reason="PySceneDetect: pip install 'kinograd[proxy]'")
    frames = scene(GROUNDS["red"], 11.0)
    frames[12:30] = scene(GROUNDS["blue"], 4.5)
    frames[30:] = scene(GROUNDS["yellow"], 3.5)
    write_mp4(tmp_path / "a.mp4", frames)
    found = shots("a.mp4", VideoConfig(), tmp_path)
    assert found == [Event(0.0, 3.0), Event(3.0, 7.5), Event(7.5, 11.0)]
    write_mp4(tmp_path / "b.mp4", scene(GROUNDS["red"], 5.0))
    assert shots("b.mp4", VideoConfig(), tmp_path) == [Event(0.0, 5.0)]
    with pytest.raises(ClipError):
        shots("gone.mp4", VideoConfig(), tmp_path)


def test_long_shots_are_split() -> None:
    found = split_long([Event(0.0, 4.0), Event(4.0, 14.0)], 4.0)
    assert [e.start for e in found] == pytest.approx([0.0, 4.0, 4 + 10 / 3, 4 + 20 / 3])
    assert found[-1].end == 14.0


def test_without_pyscenedetect_the_remedy_is_named(
    clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "scenedetect", None)
    with pytest.raises(UsageError, match=r"pip install 'kinograd\[proxy\]'"):
        shots("red.mp4", VideoConfig(), clips)
