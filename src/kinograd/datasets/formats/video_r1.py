"""Video-R1: Video-R1-260k.json, Video-R1-COT-165k.json and the eval JSON (arXiv 2503.21776).

One JSON list of ``problem_id, problem, data_type, problem_type, options, solution, path,
data_source`` and, with a chain of thought, ``process``. A ``problem_id`` that is a number is
only unique in its file: the id is ``<file stem>-<problem_id>``.
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

KINDS = {
    "multiple choice": Kind.MULTIPLE_CHOICE,
    "numerical": Kind.NUMERICAL,
    "OCR": Kind.OCR,
    "free-form": Kind.FREE_FORM,
    "regression": Kind.REGRESSION,
}
_COLUMNS = {
    "problem_id",
    "problem",
    "data_type",
    "problem_type",
    "options",
    "solution",
    "path",
    "data_source",
    "process",
}
_THINK = re.compile(r"\s*<think>(.*)</think>\s*", re.DOTALL)


def load(row: JsonRow, stem: str) -> Example:
    """Return the Example of a row."""
    number, kind = row.get("problem_id"), text(row, "problem_type")
    if isinstance(number, bool) or not isinstance(number, int | str) or not str(number).strip():
        raise BadRow(Reason.SCHEMA, f"'problem_id' must be a number or a name, not {number!r:.80}")
    if kind not in KINDS:
        raise BadRow(Reason.KIND, f"unknown problem_type {kind!r:.80}; one of {', '.join(KINDS)}")
    if row.get("data_type") not in ("image", "video"):
        raise BadRow(Reason.SCHEMA, f"data_type {row.get('data_type')!r:.80} is no image or video")
    if not isinstance(row.get("data_source", ""), str):
        raise BadRow(Reason.SCHEMA, "'data_source' must be a string")
    process = row.get("process")
    if process is not None and not isinstance(process, str):
        raise BadRow(Reason.SCHEMA, "'process' must be a string")
    return Example(
        id=number if isinstance(number, str) else f"{stem}-{number}",
        kind=KINDS[kind],
        question=text(row, "problem"),
        answer=gold(row),
        media=(whole_file(row["data_type"], row.get("path"), "path"),),
        options=strings(row, "options"),
        rationale=None if process is None else _inside(process),
        source=row.get("data_source", ""),
    )


def _inside(process: str) -> str | None:
    """Return the text in the think tags, to the space: the supervised target is made of it."""
    block = _THINK.fullmatch(process)
    inside = block[1] if block else process.strip()
    return inside if inside.strip() else None


FORMAT = format_of_rows(
    RowFormat("video_r1", load, _COLUMNS, {"problem_id", "problem_type"}),
    "Video-R1: 260k, CoT-165k and evaluation, a JSON list",
)
