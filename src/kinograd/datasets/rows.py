"""Rows while reading: an Example or a rejection, each with its place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from kinograd.datasets.seen_keys import SeenKeys
from kinograd.types import DataError, Example
from kinograd.video.faults import ClipFault


class Reason(StrEnum):
    """Reason to reject a row; reports count by it."""

    JSON = "json"  # not JSON, not UTF-8, too long, cut off
    SCHEMA = "schema"  # a key is missing, unknown or of the wrong type
    KIND = "kind"  # a problem type without a grader
    ANSWER = "answer"  # the gold answer is empty, untagged or fails its own grader
    OPTIONS = "options"  # repeated options, or the gold answer is none of them
    DUPLICATE = "duplicate"  # an id, or the same question about the same clip, again
    PATH = "path"  # absolute, leaves media_root, or a Windows path
    MISSING = "missing"  # the medium is not there
    CLIP = "clip"  # the medium cannot be read
    LEAK = "leak"  # the question gives the answer away
    TEACHER = "teacher"  # a teacher failed or answered badly
    FILTERED = "filtered"  # left out on purpose

    @classmethod
    def of_clip(cls, fault: ClipFault) -> Reason:
        """Return the reason for rejecting a row whose clip has ``fault``."""
        match fault:
            case ClipFault.OUTSIDE_ROOT | ClipFault.URL:
                return cls.PATH
            case ClipFault.MISSING | ClipFault.NOT_A_FILE | ClipFault.PERMISSION:
                return cls.MISSING
            case _:
                return cls.CLIP


@dataclass(frozen=True, slots=True)
class RawRow:
    """A parsed row before any format has read it; ``where`` is file:line or file[index]."""

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
        """Return the line of a quarantine file; ``row`` is filled in where the row is known."""
        return {
            "where": self.where,
            "id": self.id,
            "reason": self.reason.value,
            "detail": self.detail,
            "row": None,
        }


RowResult = Example | Rejected
LocatedRow = tuple[str, RowResult]
"""A row with its place: file:line or file[index]."""


class BadRow(DataError):
    """A row that cannot be used, with the reason to count it by."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def reject_repeated(rows: Iterable[LocatedRow]) -> Iterator[LocatedRow]:
    """Yield the rows; an Example whose id occurred before is rejected. Ids are kept on disk."""
    ids = SeenKeys()
    for where, row in rows:
        if isinstance(row, Example) and (first := ids.setdefault(row.id, where)) is not None:
            detail = f"the id was already used at {first}"
            row = Rejected(where, Reason.DUPLICATE, detail, row.id)
        yield where, row
