"""Rows on their way in: what was read, or why not, each with its place in its file."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Reason(StrEnum):
    """Why a row is rejected; what reports count by."""

    JSON = "json"  # not JSON, not UTF-8, too long, cut off
    SCHEMA = "schema"  # a key is missing, unknown or of the wrong type
    KIND = "kind"  # a problem type nobody grades
    ANSWER = "answer"  # the gold answer is empty, untagged or fails its own grader
    OPTIONS = "options"  # repeated options, or the gold answer is none of them
    DUPLICATE = "duplicate"  # an id, or the same question about the same clip, again
    PATH = "path"  # absolute, leaves media_root, or a Windows path
    MISSING = "missing"  # the medium is not there
    CLIP = "clip"  # the medium cannot be read
    LEAK = "leak"  # the question gives the answer away
    TEACHER = "teacher"  # a teacher failed or answered badly
    FILTERED = "filtered"  # left out on purpose


@dataclass(frozen=True, slots=True)
class Row:
    """A parsed row that nobody has interpreted yet; ``where`` is file:line or file[index]."""

    where: str
    value: Any


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that is not used: counted by reason and written to quarantine."""

    where: str
    reason: Reason
    detail: str
    id: str | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "where": self.where,
            "id": self.id,
            "reason": self.reason.value,
            "detail": self.detail,
        }
