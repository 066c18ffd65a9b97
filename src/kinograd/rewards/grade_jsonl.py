"""Grading JSON lines, for users and for parity checks against other code.

Input, one object per line: ``kind``, ``completion``, ``solution``, and optionally ``mode``
(default ``default``) and ``options``; other keys are ignored, so that a log can be piped
in. Output, one object per line in the same order: ``value``, ``parts`` and ``reason``
(null, or why the row is unscored).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, TextIO

from pydantic import BaseModel, ValidationError, field_validator

from kinograd.config.rewards import RewardMode
from kinograd.kinds import kind_named
from kinograd.rewards.rubric import grade_text
from kinograd.types import Kind, UsageError


class _Row(BaseModel):
    kind: Kind
    completion: str
    solution: str
    mode: RewardMode = "default"
    options: list[str] = []

    @field_validator("kind", mode="before")
    @classmethod
    def _alias(cls, kind: Any) -> Any:
        return kind_named(kind) or kind if isinstance(kind, str) else kind


def main(lines: Iterable[str], out: TextIO, err: TextIO) -> int:
    """Grade every line; 1 if any could not be graded (its output is null with an ``error``)."""
    status = 0
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = _Row.model_validate_json(line)
            score = grade_text(row.kind, row.completion, row.solution, row.options, row.mode)
        except (ValidationError, UsageError) as error:
            status, why = 1, _short(error)
            print(f"line {number}: {why}", file=err)
            result: dict[str, Any] = {"value": None, "parts": {}, "reason": "parse", "error": why}
        else:
            reason = None if score.unscored is None else score.unscored.value
            result = {"value": score.value, "parts": dict(score.parts), "reason": reason}
        print(json.dumps(result), file=out)
    return status


def _short(error: ValidationError | UsageError) -> str:
    if isinstance(error, UsageError):
        return str(error)
    return "; ".join(": ".join([*map(str, e["loc"]), e["msg"]]) for e in error.errors())
