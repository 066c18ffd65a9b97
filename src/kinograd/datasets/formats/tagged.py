"""JSONL of the R1 projects: a problem, a solution in <answer> tags, a video.

* Open-R1-Video: ``problem, solution, video, original_question, original_answer``
* its source, LLaVA-Video-large-swift: ``query, response, videos``, reformatted as its
  scripts/format_video_data.py does: the question ends before "Please", the answer is the
  first two characters of the response ("A."). A response that this cuts off is rejected, in
  either file.
* DVD-counting (Video-R1, February 2025): ``video_filename, problem, solution``
* VersaVid-R1 / VidBridge-R1: ``problem, solution, video, image, problem_type``

The rows have no ids; ids are those under ``id``, or made from their content.
"""

from __future__ import annotations

import re

from kinograd.datasets.formats.base import (
    JsonRow,
    RowFormat,
    format_of_rows,
    gold,
    strings,
    text,
    whole_file,
)
from kinograd.datasets.rows import BadRow, Reason
from kinograd.types import Example, Kind

_LETTER = re.compile(r"[A-Z]\.?")
_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?")
_PLACEHOLDER = re.compile(r"<(?:image|video)>")
_VIDBRIDGE = {
    "MCQA": Kind.MULTIPLE_CHOICE,
    "DarkEventInfer": Kind.DARK_EVENT,
    "MixVidQA": Kind.MIX_VID,
    "caption": Kind.CAPTION,
}


def guess_kind(answer: str) -> Kind:
    """Return the kind of an answer: a letter is a choice, a number a number, the rest free text."""
    if _LETTER.fullmatch(answer):
        return Kind.MULTIPLE_CHOICE
    return Kind.NUMERICAL if _NUMBER.fullmatch(answer) else Kind.FREE_FORM


def _problem(row: JsonRow, kind: Kind | None, medium: str, key: str, name: str) -> Example:
    answer = gold(row)
    media = (whole_file(medium, row.get(key), key),)
    question, options = text(row, "problem"), strings(row, "options")
    return Example("", kind or guess_kind(answer), question, answer, media, options, source=name)


def load_open_r1_video(row: JsonRow, stem: str) -> Example:
    """Return the Example of a row of Open-R1-Video."""
    original = row.get("original_answer")
    if isinstance(original, str) and gold(row) == original[:2].strip():
        _two_characters(original)
    return _problem(row, None, "video", "video", "open_r1_video")


def _two_characters(response: str) -> str:
    """Return the first two characters of a response, which are all that the project keeps."""
    answer = response[:2]
    if answer != response.strip() and not _LETTER.fullmatch(answer):
        raise BadRow(Reason.ANSWER, f"the first two characters, {answer!r}, are no answer")
    return answer.strip()


def load_llava_swift(row: JsonRow, stem: str) -> Example:
    """Return the Example of a row of LLaVA-Video-large-swift."""
    query, response = text(row, "query"), text(row, "response")
    videos = row.get("videos")
    if isinstance(videos, list):
        if len(videos) != 1:
            raise BadRow(Reason.SCHEMA, f"'videos' must name one video, not {len(videos)}")
        videos = videos[0]
    media = (whole_file("video", videos, "videos"),)
    original = _PLACEHOLDER.sub("", query)
    answer = _two_characters(response)
    question = original.split("Please")[0]
    if not question.strip():
        raise BadRow(Reason.SCHEMA, "'query' holds no question before 'Please'")
    kept = {"llava_swift": {"query": query, "response": response}}
    return Example(
        "", guess_kind(answer), question, answer, media, source="llava_swift", extra=kept
    )


def load_dvd_counting(row: JsonRow, stem: str) -> Example:
    """Return the Example of a row of DVD-counting."""
    return _problem(row, Kind.NUMERICAL, "video", "video_filename", "dvd_counting")


def load_vidbridge(row: JsonRow, stem: str) -> Example:
    """Return the Example of a row of VersaVid-R1 or VidBridge-R1."""
    kind = text(row, "problem_type")
    if kind not in _VIDBRIDGE:
        known = ", ".join(_VIDBRIDGE)
        raise BadRow(Reason.KIND, f"unknown problem_type {kind!r:.80}; one of {known}")
    medium = "video" if row.get("video") is not None else "image"
    if medium == "video" and row.get("image") is not None:
        raise BadRow(Reason.SCHEMA, "either 'video' or 'image' must be null")
    return _problem(row, _VIDBRIDGE[kind], medium, medium, "vidbridge")


_TAGGED = {"problem", "solution", "options"}

FORMATS = (
    format_of_rows(
        RowFormat(
            "vidbridge",
            load_vidbridge,
            _TAGGED | {"video", "image", "problem_type"},
            {"problem", "solution", "problem_type"},
        ),
        "VersaVid-R1 / VidBridge-R1 JSONL with its four problem types",
    ),
    format_of_rows(
        RowFormat(
            "dvd_counting", load_dvd_counting, _TAGGED | {"video_filename"}, {"video_filename"}
        ),
        "Video-R1's DVD-counting JSONL: video_filename, problem, solution",
    ),
    format_of_rows(
        RowFormat(
            "open_r1_video",
            load_open_r1_video,
            _TAGGED | {"video"},
            {"problem", "solution", "video"},
        ),
        "Open-R1-Video's JSONL: problem, solution, video",
    ),
    format_of_rows(
        RowFormat(
            "llava_swift",
            load_llava_swift,
            {"query", "response", "videos"},
            {"query", "response", "videos"},
        ),
        "LLaVA-Video-large-swift's JSONL, reformatted as Open-R1-Video does",
    ),
)
