"""DarkEventInfer: the answer says what happened while the picture was black.

Source: VidBridge-R1 (arXiv 2506.09079).
"""

from __future__ import annotations

from kinograd.kinds.base import AnswerKind, JudgeQuestion
from kinograd.types import Kind


class DarkEvent(AnswerKind):
    """A hidden event; a judge gives 2 (covers the reference), 1 (in part) or 0."""

    name = Kind.DARK_EVENT
    aliases = ("DarkEventInfer",)
    judge = JudgeQuestion("dark_event", {"0": 0.0, "1": 1.0, "2": 2.0})
    always_judged = True
    graded = True


KIND = DarkEvent()
