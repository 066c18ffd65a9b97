"""MixVidQA: a question about one of two interleaved videos.

Source: VidBridge-R1 (arXiv 2506.09079).
"""

from __future__ import annotations

from kinograd.kinds.base import AnswerKind, JudgeQuestion
from kinograd.types import Kind


class MixVid(AnswerKind):
    """A free answer about one of two videos; a judge says true (1) or false (0)."""

    name = Kind.MIX_VID
    aliases = ("MixVidQA",)
    judge = JudgeQuestion("answer", {"False": 0.0, "True": 1.0})
    always_judged = True


KIND = MixVid()
