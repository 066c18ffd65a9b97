"""What proxy tasks ask a teacher, and how its replies are compared."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kinograd.config.schema import JudgeConfig, LexicalJudge
from kinograd.config.teacher import TeacherConfig
from kinograd.config.video import VideoConfig
from kinograd.datasets.rows import Reason, Rejected
from kinograd.endpoint.replies import Failure
from kinograd.section import Positive, Section
from kinograd.types import Clip, Example, Judge, JudgeRequest, Kind, Media

Ask = Callable[..., Awaitable["list[str] | Failure"]]
"""``Teacher.ask``: (prompt, frames, n=1) to replies or a Failure."""
Record = dict[str, Any]
_HIGHEST = {Kind.DARK_EVENT: 2.0}


class AskingConfig(Section):
    """How a teacher sees clips, and who compares what it says."""

    teacher: TeacherConfig
    video: VideoConfig = VideoConfig(
        fps=2.0, min_frames=4, max_frames=16, min_pixels=16 * 784, max_pixels=128 * 784
    )
    judge: JudgeConfig = LexicalJudge()
    samples: Positive = 4
    """Replies to each question of a filter."""


@dataclass(frozen=True)
class Crew:
    """Who helps to finish a row: a teacher, clips (``ClipStore.get``) and a judge."""

    ask: Ask
    clip: Callable[[Media], Clip]
    judge: Judge
    samples: int

    async def see(self, media: Media) -> Sequence[np.ndarray]:
        """Its frames, uint8 (C, H, W) each."""
        return [*(await asyncio.to_thread(self.clip, media)).frames]

    async def likeness(
        self, kind: Kind, question: str, reference: str, replies: Sequence[str]
    ) -> float | Failure:
        """Mean grade of the replies against a reference, 0 to 1.

        Token overlap counts as the number it is, not by a grader's thresholds.
        """
        requests = [JudgeRequest(kind, question, reference, r.strip()) for r in replies]
        total = 0.0
        for verdict in await self.judge.judge(requests):
            if verdict.unscored is not None or verdict.value is None:
                reason = verdict.unscored
                assert reason is not None
                return Failure(reason, verdict.detail, retryable=False)
            grade = verdict.value / _HIGHEST.get(kind, 1.0)
            total += verdict.parts.get("lexical_f1", grade)
        return total / len(requests)


def read_json(reply: str) -> Mapping[str, Any] | None:
    """The JSON object in a reply, which may stand in a fence or among words."""
    begin, end = reply.find("{"), reply.rfind("}")
    try:
        found = json.loads(reply[begin : end + 1])
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def badly(draft: Example, why: str) -> Rejected:
    """A row for which the teacher wrote nothing that can be used."""
    return Rejected(draft.id, Reason.TEACHER, why, draft.id)
