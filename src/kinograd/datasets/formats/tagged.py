"""The JSONL of the R1 projects: a problem, a solution in <answer> tags, a video.

* Open-R1-Video: ``problem, solution, video, original_question, original_answer``
* its source, LLaVA-Video-large-swift: ``query, response, videos``, reformatted as its
  scripts/format_video_data.py does: the question ends before "Please", the answer is the
  first two characters of the response ("A."). A response that this cuts off is rejected, in
  either file.
* DVD-counting (Video-R1, February 2025): ``video_filename, problem, solution``
* VersaVid-R1 / VidBridge-R1: ``problem, solution, video, image, problem_type``

The rows have no ids; those given are made from their content, or stand under ``id``.
"""

from __future__ import annotations

import re

from kinograd.datasets.formats import source
from kinograd.datasets.formats.source import BadRow, JsonRow, RowFormat, row_format
from kinograd.datasets.rows import Reason
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
_VIDBRIDGE_TYPES = {kind: name for name, kind in _VIDBRIDGE.items()}


def kind_of(answer: str) -> Kind:
    """A letter is a choice, a number a number, the rest free text."""
    if _LETTER.fullmatch(answer):
        return Kind.MULTIPLE_CHOICE
    return Kind.NUMERICAL if _NUMBER.fullmatch(answer) else Kind.FREE_FORM


def _problem(row: JsonRow, kind: Kind | None, medium: str, key: str, name: str) -> Example:
    answer = source.gold(row)
    media = (source.whole(medium, row.get(key), key),)
    question = source.text(row, "problem")
    options = source.strings(row, "options")
    return Example("", kind or kind_of(answer), question, answer, media, options, source=name)


def _video(example: Example) -> str:
    medium, path = source.one_file(example)
    if medium != "video":
        raise BadRow(Reason.SCHEMA, "the format has no field for an image")
    return path


# ------------------------------------------------------------- Open-R1-Video


def load_open_r1_video(row: JsonRow, stem: str) -> Example:
    original = row.get("original_answer")
    if isinstance(original, str) and source.gold(row) == original[:2].strip():
        _whole_answer(original)
    return _problem(row, None, "video", "video", "open_r1_video")


def _whole_answer(response: str) -> str:
    """The first two characters, which are all that the project keeps.

    Raises:
        BadRow: they are the beginning of more than a letter.
    """
    answer = response[:2]
    if answer != response.strip() and not _LETTER.fullmatch(answer):
        raise BadRow(Reason.ANSWER, f"the first two characters, {answer!r}, are no answer")
    return answer.strip()


def dump_open_r1_video(example: Example, stem: str) -> JsonRow:
    return {
        "problem": source.with_options(example),
        "solution": f"<answer>{example.answer}</answer>",
        "video": _video(example),
        "original_question": source.with_options(example),
        "original_answer": example.answer,
    }


def load_llava_swift(row: JsonRow, stem: str) -> Example:
    query, response = source.text(row, "query"), source.text(row, "response")
    videos = row.get("videos")
    if isinstance(videos, list):
        if len(videos) != 1:
            raise BadRow(Reason.SCHEMA, f"'videos' must name one video, not {len(videos)}")
        videos = videos[0]
    media = (source.whole("video", videos, "videos"),)
    original = _PLACEHOLDER.sub("", query)
    answer = _whole_answer(response)
    question = original.split("Please")[0]
    if not question.strip():
        raise BadRow(Reason.SCHEMA, "'query' holds no question before 'Please'")
    kept = {"open_r1_video": {"original_question": original, "original_answer": response}}
    kind = kind_of(answer)
    return Example("", kind, question, answer, media, source="llava_swift", extra=kept)


def dump_llava_swift(example: Example, stem: str) -> JsonRow:
    query = "<video>" + _PLACEHOLDER.sub("", source.with_options(example))
    return {"query": query, "response": example.answer, "videos": [_video(example)]}


# -------------------------------------------------------------- DVD-counting


def load_dvd_counting(row: JsonRow, stem: str) -> Example:
    return _problem(row, Kind.NUMERICAL, "video", "video_filename", "dvd_counting")


def dump_dvd_counting(example: Example, stem: str) -> JsonRow:
    if example.kind is not Kind.NUMERICAL:
        raise BadRow(Reason.KIND, f"DVD-counting has numerical answers, not {example.kind}")
    return {
        "video_filename": f"./{_video(example)}",
        "problem": example.question,
        "solution": f"<answer> {example.answer} </answer>",
    }


# ----------------------------------------------------------------- VidBridge


def load_vidbridge(row: JsonRow, stem: str) -> Example:
    kind = source.text(row, "problem_type")
    if kind not in _VIDBRIDGE:
        known = ", ".join(_VIDBRIDGE)
        raise BadRow(Reason.KIND, f"unknown problem_type {kind!r:.80}; one of {known}")
    medium = "video" if row.get("video") is not None else "image"
    if medium == "video" and row.get("image") is not None:
        raise BadRow(Reason.SCHEMA, "either 'video' or 'image' must be null")
    return _problem(row, _VIDBRIDGE[kind], medium, medium, "vidbridge")


def dump_vidbridge(example: Example, stem: str) -> JsonRow:
    if example.kind not in _VIDBRIDGE_TYPES:
        raise BadRow(Reason.KIND, f"VidBridge has no problem_type for {example.kind}")
    medium, path = source.one_file(example)
    return {
        "problem": source.with_options(example),
        "solution": f"<answer>{example.answer}</answer>",
        "video": path if medium == "video" else None,
        "image": path if medium == "image" else None,
        "problem_type": _VIDBRIDGE_TYPES[example.kind],
    }


FORMATS = (
    row_format(
        RowFormat("open_r1_video", load_open_r1_video, dump_open_r1_video),
        "Open-R1-Video's JSONL: problem, solution, video",
    ),
    row_format(
        RowFormat("llava_swift", load_llava_swift, dump_llava_swift),
        "LLaVA-Video-large-swift's JSONL, reformatted as Open-R1-Video does",
    ),
    row_format(
        RowFormat("dvd_counting", load_dvd_counting, dump_dvd_counting),
        "Video-R1's DVD-counting JSONL: video_filename, problem, solution",
    ),
    row_format(
        RowFormat("vidbridge", load_vidbridge, dump_vidbridge),
        "VersaVid-R1 / VidBridge-R1 JSONL with its four problem types",
    ),
)
