"""Difficulty by sampling: the pass rate of every row, and the rows worth training on.

A row that is always right (or always wrong) gives a group without advantage. The policy comes
as a function; what it could not read is ``kinograd.models``'s Unreadable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from kinograd.curate.journal import Journal
from kinograd.curate.selection import Selection, locate, write_with_quarantine
from kinograd.datasets.rows import Reason, Rejected, RowResult
from kinograd.kinds import KINDS
from kinograd.progress import progress
from kinograd.types import Example, Group, Unscored

if TYPE_CHECKING:
    from kinograd.models.reader import Unreadable

Sample = Callable[[Sequence[Example]], Iterable["Group | Unreadable"]]
"""Scored rollouts of some rows, in order."""

_OUTAGES = {Unscored.JUDGE_UNAVAILABLE, Unscored.JUDGE_TIMEOUT}


@dataclass(frozen=True, slots=True)
class Rule:
    """Conditions on which rows are dropped; the defaults are VidBridge-R1's.

    Attributes:
        caption_spread: captions below this spread of their scores are dropped (in place of
            the rules for right and wrong).
        measure: the paper says variance, but of numbers between 0 and 1 it can hardly exceed
            0.25, so that 0.2 would drop nearly all; the standard deviation is the likelier.
    """

    drop_right: bool = True
    drop_wrong: bool = False
    caption_spread: float = 0.2
    measure: Literal["std", "variance"] = "std"


def filter_rows(
    read: Callable[[], Iterable[RowResult]],
    source: str,
    out: Path,
    sample: Sample,
    rule: Rule,
    journal: Journal,
    batch: int,
) -> Selection:
    """Sample every row that the journal lacks; write those that ``rule`` keeps to ``out``.

    ``extra`` gets ``pass_rate``, and mean and standard deviation of the scores.

    Args:
        read: the rows, from the start at each call.
        batch: rows sampled at a time; so many are lost when the process dies.
    """
    unread: dict[str, Rejected] = {}
    rows = [(where, row) for where, row in locate(read(), source) if isinstance(row, Example)]
    with progress(len(rows), "sampling", done=len(journal)) as bar:
        left = [(where, row) for where, row in rows if journal.done(row.id) is None]
        for start in range(0, len(left), batch):
            some = left[start : start + batch]
            for (where, row), found in zip(some, sample([r for _, r in some]), strict=True):
                if not isinstance(found, Group):
                    detail = f"{found.reason}: {found.detail}"
                    unread[row.id] = Rejected(where, Reason.CLIP, detail, row.id)
                elif lost := [s for s in found.scores if s.unscored in _OUTAGES]:
                    detail = f"no verdict: {lost[0].detail}"
                    unread[row.id] = Rejected(where, Reason.TEACHER, detail, row.id)
                else:
                    journal.append(row.id, record_of(found))
                bar.advance()

    def chosen() -> Iterator[RowResult]:
        for where, row in locate(read(), source):
            if isinstance(row, Rejected):
                yield row
            elif (record := journal.done(row.id)) is None:
                yield unread[row.id]
            else:
                yield judge_row(row, record, rule, where)

    return write_with_quarantine(out, chosen())


def judge_row(row: Example, record: Mapping[str, Any], rule: Rule, where: str) -> RowResult:
    """Return the row with its figures, or the reason to drop it.

    Args:
        record: ``values`` and ``right`` of the scored samples, ``unscored`` others. With one of
            these, it is unknown whether a row is always right.
    """
    values, right = record["values"], record["right"]

    def dropped(why: str) -> Rejected:
        return Rejected(where, Reason.FILTERED, why, row.id)

    if not values:
        return dropped(f"unscored: {record['unscored']} samples, none graded")
    spread = float(np.std(values) if rule.measure == "std" else np.var(values))
    if KINDS[row.kind].filtered_by_spread:
        if spread < rule.caption_spread:
            return dropped(f"similar captions: {rule.measure} {spread:.3g} < {rule.caption_spread}")
    elif rule.drop_right and right == len(values) and not record["unscored"]:
        return dropped(f"always right: {right} of {len(values)}")
    elif rule.drop_wrong and right == 0:
        return dropped(f"always wrong: 0 of {len(values)}")
    figures = {
        "pass_rate": right / len(values),
        "value_mean": float(np.mean(values)),
        "value_std": float(np.std(values)),
    }
    return replace(row, extra={**row.extra, **figures})


def record_of(group: Group) -> dict[str, Any]:
    """Return the journal's record of a row's samples."""
    kind = KINDS[group.example.kind]
    scored = [s for s in group.scores if s.unscored is None]
    return {
        "values": [kind.sampled_value(s) for s in scored],
        "right": sum(s.correct for s in scored),
        "unscored": len(group.scores) - len(scored),
    }
