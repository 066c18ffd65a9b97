"""Each task's rows: right by their frames, at chance without them, the same for one seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import groupby, pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinograd.commands.settings import read_settings
from kinograd.curate.events import Event
from kinograd.datasets.rows import Reason, Rejected
from kinograd.grading.choice import read_choice
from kinograd.kinds import check_gold
from kinograd.proxy.dark_event import DarkEvent
from kinograd.proxy.jigsaw import Jigsaw
from kinograd.proxy.mix_vid import MixVid
from kinograd.proxy.needles import Needles
from kinograd.proxy.removed import Removed
from kinograd.proxy.reversed import Reversed
from kinograd.proxy.source_video import SourceVideo
from kinograd.proxy.task import ProxyTask
from kinograd.proxy.tasks import TASKS
from kinograd.types import Black, Clip, Example, Kind, Media, Span, UsageError
from kinograd.video.cut import Piece, Timeline, media_from_json

from .conftest import EVENTS, GROUNDS, SECONDS, colour_of

See = Callable[[Media], Clip]
SETTINGS: dict[str, ProxyTask] = {
    "dark-event": DarkEvent(),
    "mix-vid": MixVid(),
    "jigsaw": Jigsaw(),
    "reversed": Reversed(total=5.0),
    "removed": Removed(gap=2.0),
    "needles": Needles(most=3),
}


def build(task: str, videos: list[SourceVideo], **over: Any) -> list[Example | Rejected]:
    return list(SETTINGS[task].model_copy(update=over).build(videos))


def made(task: str, videos: list[SourceVideo], seed: int = 0, **over: Any) -> list[Example]:
    """The rows; none may be refused."""
    found = build(task, videos, seed=seed, **over)
    assert all(isinstance(row, Example) for row in found), found
    return [row for row in found if isinstance(row, Example)]


def refused(task: str, videos: list[SourceVideo], **over: Any) -> list[Rejected]:
    found = build(task, videos, **over)
    return [row for row in found if isinstance(row, Rejected)]


def copies(video: SourceVideo, count: int) -> list[SourceVideo]:
    """The video under many names, for what is drawn."""
    row = video.example
    return [
        replace(video, example=replace(row, id=f"{row.id}-{i}"), sources=(f"{i}",))
        for i in range(count)
    ]


def runs(clip: Clip) -> list[tuple[str, float]]:
    """Grounds shown one after another, with their seconds."""
    seen = (colour_of(f) for f in clip.frames)
    return [(name, len(list(some)) / clip.native_fps) for name, some in groupby(seen)]


@pytest.mark.parametrize("task", SETTINGS)
def test_rows_pass_their_graders_and_hang_on_nothing_but_seed_and_film(
    task: str, videos: list[SourceVideo], see: See
) -> None:
    rows = made(task, videos)
    for row in rows:
        assert check_gold(row.kind, row.answer, row.options) is None
        assert row.extra["of"] in row.id
        assert len(see(row.media[0]).frames) >= 8
    assert made(task, videos) == rows
    assert made(task, videos, seed=1) != rows
    if task not in ("mix-vid", "needles"):  # a partner may change with the company
        some = [row for row in rows if row.extra["of"] == videos[2].id]
        assert made(task, [videos[2]]) == some


@pytest.fixture
def see(every_frame: See) -> See:
    return every_frame


# ------------------------------------------------------------------------ hidden


def test_the_hidden_event_is_black_and_nothing_else(videos: list[SourceVideo], see: See) -> None:
    chosen = set()
    for video, row in zip(videos, made("dark-event", videos), strict=True):
        start, end = row.extra["event"]
        ((does),) = [text for a, b, text in EVENTS if [a, b] == [start, end]]
        chosen.add(does)
        assert row.answer.endswith(does)
        assert row.question.startswith("Examine a video that includes a black screen segment")
        clip, whole = see(row.media[0]), see(video.example.media[0])
        dark = (clip.timestamps >= start) & (clip.timestamps < end)
        assert not clip.frames[dark].any()
        assert (clip.frames[~dark] == whole.frames[~dark]).all()
        hidden = see(media_from_json(row.extra["hidden"]))
        assert (hidden.frames == whole.frames[dark]).all()
    assert len(chosen) > 1


def test_context_is_cut_to_what_is_wanted(videos: list[SourceVideo]) -> None:
    for row in made("dark-event", videos, context=1.5):
        first, dark, last = row.media[0].cut.segments
        assert isinstance(first, Span)
        assert isinstance(dark, Black)
        assert isinstance(last, Span)
        assert first.end == row.extra["event"][0]
        assert last.start == row.extra["event"][1]
        assert first.end - first.start == 1.5
        assert (last.end or 0) - last.start == pytest.approx(1.5)


@given(
    st.lists(
        st.tuples(st.floats(0, 20), st.floats(0.1, 12)), max_size=6
    ),
    st.floats(0, 4), st.floats(0, 4), st.floats(0.5, 3), st.integers(0, 5),
)  # fmt: skip
def test_only_events_within_the_limits_are_hidden(
    drawn: list[tuple[float, float]], before: float, after: float, shortest: float, seed: int
) -> None:
    line = Timeline((Piece("a.mp4", 0.0, 20.0, 0.0),), 4.0, 80, 20.0)
    row = Example("a", Kind.FREE_FORM, "", "", ())
    events = tuple(Event(a, a + length, "x") for a, length in drawn)
    video = SourceVideo(row, line, ("a",), "train", "rows:1", events)
    task = DarkEvent(before=before, after=after, shortest=shortest, longest=8.0, seed=seed)
    (found,) = task.build([video])
    fit = [
        [e.start, e.end]
        for e in events
        if e.start >= before and e.end <= 20 - after and shortest <= e.end - e.start <= 8
    ]
    if isinstance(found, Rejected):
        assert not fit
        assert found.reason in (Reason.FILTERED, Reason.SCHEMA)
    else:
        assert found.extra["event"] in fit
        shown = found.media[0].cut.segments
        lengths = [s.duration if isinstance(s, Black) else (s.end or 0) - s.start for s in shown]
        assert sum(lengths) == pytest.approx(20.0)


# ------------------------------------------------------------------------- mixed


def test_two_clips_take_turns(videos: list[SourceVideo], see: See) -> None:
    rows = made("mix-vid", videos)
    for row in rows:
        own = row.id.removeprefix("film-").removesuffix("-mix_vid")
        other = row.extra["beside"].removeprefix("film-")
        pair = [own, other] if row.extra["target"] == "first" else [other, own]
        shown = runs(see(row.media[0]))
        assert [name for name, _ in shown] == pair * (len(shown) // 2)
        for segment in row.media[0].cut.segments:
            assert isinstance(segment, Span)
            assert 1.5 - 1e-6 <= (segment.end or 0) - segment.start <= 2.0 + 1e-6
        assert f"Question: What does the bar on the {own} ground do?" in row.question
        assert row.kind is Kind.MIX_VID
        sources = [media_from_json(m) for m in row.extra["sources"]]
        assert [m.cut.paths for m in sources] == [(f"{own}.mp4",), (f"{other}.mp4",)]
        for path in (own, other):  # each goes on where it stopped
            mine = [s for s in row.media[0].cut.segments if s.path == f"{path}.mp4"]  # type: ignore[union-attr]
            assert all(a.end == b.start for a, b in pairwise(mine))  # type: ignore[union-attr]
    assert {row.extra["target"] for row in rows} == {"first", "second"}
    assert Counter(row.extra["beside"] for row in rows) == Counter(f.id for f in videos)
    assert {row.extra["target"] for row in made("mix-vid", videos, target="second")} == {"second"}


def test_total_bounds_a_mix(videos: list[SourceVideo], see: See) -> None:
    for row in made("mix-vid", videos, total=9.0, coverage=0.0):
        assert 6 <= see(row.media[0]).duration <= 9
    gone = refused("mix-vid", videos, total=9.0)
    assert len(gone) == len(videos)
    assert "too little of the clip is left for its question" in gone[0].detail


def test_a_question_that_fits_both_is_ambiguous(videos: list[SourceVideo]) -> None:
    asked = [replace(f, example=replace(f.example, question="What is done?")) for f in videos]
    assert [r.detail.split(":")[0] for r in refused("mix-vid", asked)] == ["ambiguous"] * 6
    assert len(made("mix-vid", asked, strict=False)) == 6
    alike = [replace(f, example=replace(f.example, answer="A bar falls.")) for f in asked]
    assert len(refused("mix-vid", alike, strict=False)) == 6


def test_no_clip_is_mixed_with_itself(videos: list[SourceVideo]) -> None:
    (alone,) = refused("mix-vid", videos[:1])
    assert alone.detail.startswith("nothing to mix with")
    twins = [replace(video, sources=("same",)) for video in videos[:2]]
    assert len(refused("mix-vid", twins)) == 2


def test_a_clip_that_is_too_short_is_no_partner(videos: list[SourceVideo]) -> None:
    short = replace(videos[0], line=replace(videos[0].line, duration=0.5))
    for task in ("mix-vid", "needles"):
        found = build(task, [short, *videos[1:3]])
        assert [isinstance(row, Example) for row in found] == [False, True, True]


def test_captions_are_no_questions_about_one_of_two(videos: list[SourceVideo]) -> None:
    captions = [replace(f, example=replace(f.example, kind=Kind.CAPTION)) for f in videos]
    assert {(r.question, r.answer) for r in made("mix-vid", captions)} == {("", "")}
    assert made("mix-vid", videos, fresh=True) == made("mix-vid", captions)


def test_a_question_with_a_rule_keeps_it(videos: list[SourceVideo]) -> None:
    choice = replace(
        videos[0].example, kind=Kind.MULTIPLE_CHOICE, answer="B", options=("A. up", "B. down")
    )
    row = made("mix-vid", [replace(videos[0], example=choice), videos[1]])[0]
    assert (row.kind, row.answer, row.options) == (choice.kind, "B", choice.options)


# ----------------------------------------------------------------- what is drawn


@pytest.mark.parametrize(
    ("task", "over", "answers"),
    [
        ("jigsaw", {}, "ABCD"),
        ("jigsaw", {"pieces": 2}, "AB"),
        ("removed", {}, "ABCD"),
        ("reversed", {}, "AB"),
        ("needles", {"needle": "black"}, "123"),
    ],
)
def test_who_does_not_look_is_at_chance(
    task: str, over: dict[str, Any], answers: str, videos: list[SourceVideo]
) -> None:
    rows = made(task, copies(videos[0], 600), **over)
    counts = Counter(row.answer for row in rows)
    assert sorted(counts) == list(answers)
    share = len(rows) / len(answers)
    assert all(abs(n - share) < 4 * share**0.5 for n in counts.values())
    assert {row.extra["chance"] for row in rows} == {1 / len(answers)}


def test_jigsaw_answers_put_the_pieces_in_order(videos: list[SourceVideo], see: See) -> None:
    for video, row in zip(videos, made("jigsaw", videos), strict=True):
        letter = read_choice(row.answer, row.options)
        order = next(o for o in row.options if o.startswith(f"{letter}."))[3:]
        starts = [s.start for s in row.media[0].cut.segments if isinstance(s, Span)]
        in_time = [starts[int(n) - 1] for n in order.split(", ")]
        assert in_time == sorted(starts)
        assert all(b - a - row.extra["length"] >= 0.499 for a, b in pairwise(in_time))
        assert len(set(row.options)) == 4
        assert see(row.media[0]).duration == pytest.approx(video.duration - 1.0)


def test_jigsaw_as_a_number(videos: list[SourceVideo]) -> None:
    for row in made("jigsaw", videos, form="number", pieces=4, gap=0.1):
        starts = [s.start for s in row.media[0].cut.segments if isinstance(s, Span)]
        assert row.kind is Kind.NUMERICAL
        assert [starts[int(n) - 1] for n in row.answer] == sorted(starts)


def test_backwards_shows_the_same_frames_last_first(videos: list[SourceVideo], see: See) -> None:
    rows = made("reversed", videos)
    assert len(rows) == 2 * len(videos)
    for forwards, backwards in zip(rows[::2], rows[1::2], strict=True):
        there, back = see(forwards.media[0]), see(backwards.media[0])
        assert len(there.frames) == 20
        assert (there.frames == back.frames[::-1]).all()
        assert forwards.options == backwards.options
        assert sorted((forwards.answer, backwards.answer)) == ["A", "B"]


def test_the_gap_is_where_the_answer_says(videos: list[SourceVideo], see: See) -> None:
    for row in made("removed", videos):
        clip = see(row.media[0])
        # the bar stands one line further down in each frame of the video
        lines = [
            int(np.argmax(f[1].astype(int).sum(1) + f[2].astype(int).sum(1))) for f in clip.frames
        ]
        steps = np.abs(np.diff(lines))
        gap = clip.timestamps[int(np.argmax(np.where(steps > 30, 0, steps))) + 1]
        place = "ABCD".index(row.answer)
        assert gap == pytest.approx(clip.duration * (place + 1) / 5, abs=0.3)
        assert row.options[place].endswith(f"at {clip.duration * (place + 1) / 5:.1f} s")
        assert row.extra["removed"][1] - row.extra["removed"][0] == pytest.approx(2.0)


@pytest.mark.parametrize("needle", ["clip", "black"])
def test_needles_can_be_counted_and_not_guessed_by_the_length(
    needle: Any, videos: list[SourceVideo], see: See
) -> None:
    for row in made("needles", videos, needle=needle):
        own = row.extra["of"].removeprefix("film-")
        clip = see(row.media[0])
        shown = runs(clip)
        strange = [(name, seconds) for name, seconds in shown if name != own]
        assert len(strange) == int(row.answer) == len(row.extra["needles"])
        assert all(seconds == pytest.approx(1.0, abs=0.26) for _, seconds in strange)
        assert all(seconds >= 0.7 for name, seconds in shown if name == own)
        assert {n for n, _ in strange} <= ({"black"} if needle == "black" else {*GROUNDS})
        assert clip.duration == pytest.approx(SECONDS + 1)
        assert shown[0][0] == shown[-1][0] == own


@pytest.mark.parametrize(
    ("task", "over"),
    [
        ("dark-event", {"shortest": 5.0}),
        ("mix-vid", {"turns": 9}),
        ("jigsaw", {"shortest": 5.0}),
        ("reversed", {"shortest": 40.0, "total": 40.0}),
        ("removed", {"gap": 11.0}),
        ("needles", {"most": 9}),
    ],
)
def test_films_that_are_too_short_are_refused(
    task: str, over: dict[str, Any], videos: list[SourceVideo]
) -> None:
    gone = refused(task, videos, **over)
    assert len(gone) == len(videos)
    assert {r.reason for r in gone} == {Reason.FILTERED}
    assert gone[0].id == videos[0].id


@pytest.mark.parametrize(
    ("task", "settings", "message"),
    [
        ("dark-event", ["before=-1"], "before: .*greater than or equal to 0"),
        ("dark-event", ["shortest=9", "longest=3"], "shortest 9.0 is more than longest 3.0"),
        ("jigsaw", ["pieces=9"], "pieces: .*less than or equal to 6"),
        ("jigsaw", ["choices=1"], "choices"),
        ("mix-vid", ["shortest=0"], "shortest: .*greater than 0"),
        ("removed", ["gap=0"], "gap"),
        ("needles", ["fewest=5"], "fewest 5 is more than most 4"),
        ("reversed", ["shortest=.nan"], "shortest"),
        ("jigsaw", ["teacher.model=m"], "teacher: unknown key"),
        ("jigsaw", ["peices=3"], "pieces"),
    ],
)
def test_settings_that_make_no_sense(task: str, settings: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_settings(TASKS[task], settings)


def test_every_task_is_here() -> None:
    assert SETTINGS.keys() == TASKS.keys()
    assert all(isinstance(SETTINGS[name], task) for name, task in TASKS.items())
    assert all(task.name.replace("_", "-") == name for name, task in TASKS.items())
