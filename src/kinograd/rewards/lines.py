"""Grading JSON lines, for users and for parity checks against other code.

Input, one object per line: ``kind``, ``completion``, ``solution``, and optionally ``mode``
(default ``default``) and ``options``; other keys are ignored, so that a log can be piped
in. Output, one object per line in the same order: ``value``, ``parts`` and ``reason``
(null, or why the row is unscored).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, TextIO, get_args

from kinograd.config.rewards import RewardMode
from kinograd.rewards.rubric import grade_text
from kinograd.types import DataError, Kind, KinogradError, Score

# The names that the published data use.
_KINDS = {k.value: k for k in Kind} | {
    "multiple choice": Kind.MULTIPLE_CHOICE,
    "MCQA": Kind.MULTIPLE_CHOICE,
    "OCR": Kind.OCR,
    "free-form": Kind.FREE_FORM,
    "DarkEventInfer": Kind.DARK_EVENT,
    "MixVidQA": Kind.MIX_VID,
}
_MODES = get_args(RewardMode)


def grade_row(row: Any) -> Score:
    """Score of one row.

    Raises:
        DataError: the row is not of the documented form.
        UsageError: its mode has no rule for its kind.
    """
    if not isinstance(row, dict):
        raise DataError("not a JSON object")
    for key in ("kind", "completion", "solution"):
        if not isinstance(row.get(key), str):
            raise DataError(f"{key!r} must be a string")
    mode, options = row.get("mode", "default"), row.get("options", [])
    if row["kind"] not in _KINDS:
        raise DataError(f"unknown kind {row['kind']!r}; one of {', '.join(k.value for k in Kind)}")
    if mode not in _MODES:
        raise DataError(f"unknown mode {mode!r}; one of {', '.join(_MODES)}")
    if not isinstance(options, list) or not all(isinstance(o, str) for o in options):
        raise DataError("'options' must be a list of strings")
    return grade_text(_KINDS[row["kind"]], row["completion"], row["solution"], options, mode)


def main(lines: Iterable[str], out: TextIO, err: TextIO) -> int:
    """Grade every line; 1 if any could not be graded (its output is null with an ``error``)."""
    status = 0
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            score = grade_row(json.loads(line))
            result = {
                "value": score.value,
                "parts": dict(score.parts),
                "reason": score.unscored and score.unscored.value,
            }
        except (ValueError, RecursionError, KinogradError) as error:
            status = 1
            print(f"line {number}: {error}", file=err)
            result = {"value": None, "parts": {}, "reason": "parse", "error": str(error)}
        print(json.dumps(result), file=out)
    return status
