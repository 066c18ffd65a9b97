"""Video-R1: Video-R1-260k.json, Video-R1-COT-165k.json and the eval JSON (arXiv 2503.21776).

One JSON list of ``problem_id, problem, data_type, problem_type, options, solution, path,
data_source`` and, with a chain of thought, ``process``. A ``problem_id`` that is a number is
only unique in its file: the id is ``<file stem>-<problem_id>``.
"""

from __future__ import annotations

import re

from kinograd.datasets.formats import source
from kinograd.datasets.formats.source import BadRow, JsonRow, RowFormat, row_format
from kinograd.datasets.rows import Reason
from kinograd.types import Example, Kind

KINDS = {
    "multiple choice": Kind.MULTIPLE_CHOICE,
    "numerical": Kind.NUMERICAL,
    "OCR": Kind.OCR,
    "free-form": Kind.FREE_FORM,
    "regression": Kind.REGRESSION,
}
_THINK = re.compile(r"\s*<think>(.*)</think>\s*", re.DOTALL)
_TYPES = {kind: name for name, kind in KINDS.items()}


def load(row: JsonRow, stem: str) -> Example:
    number, kind = row.get("problem_id"), source.text(row, "problem_type")
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
        question=source.text(row, "problem"),
        answer=source.gold(row),
        media=(source.whole(row["data_type"], row.get("path"), "path"),),
        options=source.strings(row, "options"),
        rationale=None if process is None else _inside(process),
        source=row.get("data_source", ""),
    )


def _inside(process: str) -> str | None:
    """What stands in the think tags, to the space: the supervised target is made of it."""
    block = _THINK.fullmatch(process)
    inside = block[1] if block else process.strip()
    return inside if inside.strip() else None


def dump(example: Example, stem: str) -> JsonRow:
    if example.kind not in _TYPES:
        raise BadRow(Reason.KIND, f"Video-R1 has no problem_type for {example.kind}")
    data_type, path = source.one_file(example)
    number = example.id.removeprefix(f"{stem}-")
    own = number.isascii() and number.isdecimal() and f"{stem}-{int(number)}" == example.id
    row: JsonRow = {
        "problem_id": int(number) if own else example.id,
        "problem": example.question,
        "data_type": data_type,
        "problem_type": _TYPES[example.kind],
        "options": list(example.options),
        "solution": f"<answer>{example.answer}</answer>",
        "path": f"./{path}",
        "data_source": example.source,
    }
    if example.rationale is not None:
        row["process"] = f"<think>{example.rationale}</think>"
    return row


FORMAT = row_format(
    RowFormat("video_r1", load, dump, listed=True),
    "Video-R1: 260k, CoT-165k and evaluation, a JSON list",
)
