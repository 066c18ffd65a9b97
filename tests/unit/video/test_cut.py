"""Cuts: strict JSON, validation that names the segment, a timeline of half-open pieces."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinograd.types import Black, Cut, DataError, Media, MediaType, Span
from kinograd.video.cut import media_from_json, media_to_json, validate_cut
from kinograd.video.faults import ClipError, ClipFault


@dataclass
class Source:
    duration: float
    rate: float
    frames: int


A, B = Source(40.0, 25.0, 1000), Source(10.0, 30.0, 300)
SOURCES = {"a.mp4": A, "b.mp4": B}


def cut(*segments: Span | Black) -> Cut:
    return Cut(segments)


# ------------------------------------------------------------------------ JSON


def test_the_example_of_the_contract_is_read_and_written_back():
    row = {
        "type": "video",
        "cut": [
            {"path": "coin/a.mp4", "start": 0.0, "end": 12.4},
            {"black": 5.1},
            {"path": "coin/a.mp4", "start": 17.5, "end": 40.0},
        ],
    }
    media = media_from_json(row)
    assert media.cut.segments == (
        Span("coin/a.mp4", 0.0, 12.4),
        Black(5.1),
        Span("coin/a.mp4", 17.5, 40.0),
    )
    assert media_to_json(media) == row


def test_a_path_is_short_for_a_cut_of_one_whole_file():
    short = {"type": "video", "path": "a.mp4"}
    assert media_from_json(short) == media_from_json({"type": "video", "cut": [{"path": "a.mp4"}]})
    assert media_to_json(media_from_json(short)) == short
    assert media_to_json(Media(MediaType.IMAGE, Cut.whole("a.png"))) == {
        "type": "image",
        "path": "a.png",
    }


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([], "an object"),
        ({"path": "a"}, "type must be"),
        ({"type": "audio", "path": "a"}, "type must be"),
        ({"type": "video"}, "either 'path' or 'cut'"),
        ({"type": "video", "path": "a", "cut": []}, "either 'path' or 'cut'"),
        ({"type": "video", "path": "a", "fps": 2}, "unknown key 'fps'"),
        ({"type": "video", "path": ""}, "non-empty string"),
        ({"type": "video", "path": 3}, "non-empty string"),
        ({"type": "image", "cut": [{"path": "a"}]}, "an image has a 'path'"),
        ({"type": "video", "cut": []}, "at least one segment"),
        ({"type": "video", "cut": {"path": "a"}}, "list of at least one"),
        ({"type": "video", "cut": [{"black": 2}]}, "black throughout"),
        ({"type": "video", "cut": [{"path": "a"}, {"black": 0}]}, "segment 1: black must last"),
        ({"type": "video", "cut": [{"path": "a"}, {"black": -1}]}, "segment 1: black must last"),
        ({"type": "video", "cut": [{"path": "a"}, {}]}, "segment 1 needs 'path' or 'black'"),
        ({"type": "video", "cut": [{"path": "a", "start": -1}]}, r"\(a\): start -1.0 is negative"),
        (
            {"type": "video", "cut": [{"path": "a", "start": 5, "end": 3}]},
            r"segment 0 \(a\): start 5.0 is not before end 3.0",
        ),
        ({"type": "video", "cut": [{"path": "a", "start": 3, "end": 3}]}, "not before end"),
        ({"type": "video", "cut": [{"path": "a", "start": "1"}]}, "must be a number"),
        ({"type": "video", "cut": [{"path": "a", "start": True}]}, "must be a number"),
        ({"type": "video", "cut": [{"path": "a", "end": float("nan")}]}, "must be finite"),
        ({"type": "video", "cut": [{"path": "a", "end": 10**400}]}, "must be finite"),
        ({"type": "video", "cut": [{"path": "a", "black": 1}]}, "unknown key 'path'"),
        ({"type": "video", "cut": ["a.mp4"]}, "segment 0 is not an object"),
    ],
)
def test_what_breaks_the_contract_is_named(row, message):
    with pytest.raises(DataError, match=message):
        media_from_json(row)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=12,
)
keys = st.sampled_from(["type", "path", "cut", "black", "start", "end", "fps"])
segments = st.dictionaries(keys, json_values | st.just("a.mp4"), max_size=4)


@settings(max_examples=60)
@given(
    st.dictionaries(keys, json_values | st.sampled_from(["video", "image"]) | st.lists(segments))
)
def test_the_parser_gives_a_medium_or_a_data_error(row):
    try:
        media = media_from_json(row)
    except DataError:
        return
    assert media_from_json(json.loads(json.dumps(media_to_json(media)))) == media


# ------------------------------------------------------------------ validation


@pytest.mark.parametrize(
    ("segments", "message"),
    [
        ([Span("a.mp4", 41.0)], r"a.mp4: segment 0 starts at 41.0 s, but .* ends at 40.000"),
        (
            [Span("a.mp4"), Span("b.mp4", 0, 10.1)],
            "b.mp4: segment 1 ends at 10.1 s, but .* 10.000 s",
        ),
        ([Span("a.mp4", 5.0, 5.0)], "segment 0 .* is empty"),
        ([Span("a.mp4", -1.0, 5.0)], "segment 0 .* is empty"),
        ([Black(3.0)], "at least one source"),
    ],
)
def test_impossible_segments_are_refused_by_file_and_number(segments, message):
    with pytest.raises(ClipError, match=message) as caught:
        validate_cut(Cut(tuple(segments)), SOURCES)
    assert caught.value.reason is ClipFault.BAD_CUT


@pytest.mark.parametrize("parts", [[Span("a.mp4", 0, 1), Black(1e9)], [Span("a.mp4")] * 3])
def test_a_cut_may_not_outlast_the_limit_either(parts):
    """Rendering one would take all memory for its frames' times."""
    assert validate_cut(Cut(tuple(parts)), SOURCES).duration > 100
    with pytest.raises(
        ClipError, match=r"a\.mp4: the cut lasts .* video\.max_duration_s"
    ) as caught:
        validate_cut(Cut(tuple(parts)), SOURCES, 100.0)
    assert caught.value.reason is ClipFault.TOO_LONG


def test_an_end_within_a_frame_beyond_the_source_is_its_end():
    line = validate_cut(cut(Span("b.mp4", 2.0, 10.03)), SOURCES)
    assert line.pieces[0].end == 10.0
    assert line.duration == 8.0


def test_segments_may_overlap_and_repeat():
    line = validate_cut(cut(Span("a.mp4", 0, 8), Span("a.mp4", 4, 12)), SOURCES)
    assert line.duration == 16.0


def test_the_timeline_is_the_sum_of_its_parts_at_the_first_source_s_rate():
    edit = cut(Black(1.5), Span("b.mp4", 1.0, 4.25), Span("a.mp4", 39.0))
    line = validate_cut(edit, SOURCES)
    assert line.duration == 1.5 + 3.25 + 1.0
    assert line.rate == 30.0
    assert line.frames == round(5.75 * 30.0)
    assert [p.offset for p in line.pieces] == [0.0, 1.5, 4.75]
    assert [p.path for p in line.pieces] == [None, "b.mp4", "a.mp4"]


def test_a_whole_file_has_exactly_its_own_frames():
    odd = Source(22.0278, 22.29, 491)
    line = validate_cut(Cut.whole("x"), {"x": odd})
    assert (line.frames, line.rate, line.duration) == (491, 22.29, 22.0278)


def test_pieces_are_half_open():
    line = validate_cut(cut(Span("a.mp4", 0, 2), Black(1), Span("a.mp4", 10, 12)), SOURCES)
    found = line.locate(np.array([0.0, 1.999, 2.0, 2.999, 3.0, 4.9]))
    assert [n for n, _ in found] == [0, 0, 1, 1, 2, 2]
    assert found[4][1] == pytest.approx(10.0)
    assert found[5][1] == pytest.approx(11.9)


@given(st.lists(st.tuples(st.floats(0, 39), st.floats(0.05, 1.0)), min_size=1, max_size=12))
def test_every_second_of_a_timeline_lies_inside_its_segment(parts):
    spans = [Span("a.mp4", start, start + length) for start, length in parts]
    line = validate_cut(Cut(tuple(spans)), SOURCES)
    times = np.arange(line.frames) / line.rate
    for number, second in line.locate(times):
        piece = line.pieces[number]
        assert piece.start - 1e-6 <= second <= piece.end + 1e-6
