"""Tools of proxy tasks that ask a teacher: its replies, their journal, their comparison."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, Protocol

import numpy as np

from kinograd.curate.journal import Journal
from kinograd.datasets.rows import Reason, Rejected
from kinograd.endpoint.replies import Failure, parse_json_object
from kinograd.kinds import KINDS
from kinograd.types import Clip, Example, Judge, JudgeRequest, Kind, Media

Record = dict[str, Any]


class Ask(Protocol):
    """``Teacher.ask``: up to ``n`` replies to a prompt behind frames, or a Failure."""

    async def __call__(
        self, prompt: str, frames: Sequence[np.ndarray] = (), *, n: int = 1
    ) -> list[str] | Failure: ...


@dataclass(frozen=True)
class TeacherTools:
    """A teacher, the clips it is shown, and a judge that compares what it says.

    Attributes:
        clip: decodes a medium (``ClipStore.get``); raises ClipError.
    """

    ask: Ask
    clip: Callable[[Media], Clip]
    judge: Judge

    async def frames_of(self, media: Media) -> Sequence[np.ndarray]:
        """Return the frames of a medium, uint8 (C, H, W) each.

        Raises:
            ClipError: the medium cannot be decoded.
        """
        return [*(await asyncio.to_thread(self.clip, media)).frames]

    async def similarity(
        self, kind: Kind, question: str, reference: str, replies: Sequence[str]
    ) -> float | Failure:
        """Return the mean grade of the replies against a reference, 0 to 1.

        Token overlap counts as the number it is, not by a grader's thresholds.
        """
        judged = KINDS[kind].judge
        assert judged is not None, "only judged kinds are compared"
        requests = [JudgeRequest(kind, question, reference, r.strip()) for r in replies]
        total = 0.0
        for verdict in await self.judge.judge(requests):
            if verdict.unscored is not None or verdict.value is None:
                reason = verdict.unscored
                assert reason is not None
                return Failure(reason, verdict.detail, retryable=False)
            total += verdict.parts.get("lexical_f1", verdict.value / judged.highest)
        return total / len(requests)

    def with_journal(self, journal: Journal, key: str) -> TeacherTools:
        """Return tools for one row whose replies are journalled one by one.

        Args:
            key: identifies the row; its questions come in the same order in every run.
        """
        numbers = count()

        async def ask(
            prompt: str, frames: Sequence[np.ndarray] = (), *, n: int = 1
        ) -> list[str] | Failure:
            id = f"{key} {next(numbers)}"
            if (record := journal.done(id)) is None:
                replies = await self.ask(prompt, frames, n=n)
                if isinstance(replies, Failure):
                    return replies
                journal.append(id, record := {"replies": replies})
            return record["replies"]

        return replace(self, ask=ask)


def read_json(reply: str) -> Mapping[str, Any] | None:
    """Parse the JSON object in a reply, in a fence or among words; None if there is none."""
    begin, end = reply.find("{"), reply.rfind("}")
    return parse_json_object(reply[begin : end + 1])


def rejected_by_teacher(draft: Example, why: str) -> Rejected:
    """Reject a row for which the teacher wrote nothing that can be used."""
    return Rejected(draft.id, Reason.TEACHER, why, draft.id)
