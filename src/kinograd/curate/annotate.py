"""Chains of thought from a teacher: ask, journal, grade, keep what verifies.

The pipeline of Video-R1's 165k chains of thought, with the questions of ``kinograd.prompts``.
The journal holds replies only, so that another threshold selects from the same replies.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from kinograd.config.schema import PromptConfig
from kinograd.config.teacher import AnnotateConfig
from kinograd.curate.journal import Journal
from kinograd.curate.selection import Selection, locate, write_with_quarantine
from kinograd.curate.teacher import ask_rows, row_key
from kinograd.datasets.rows import Reason, Rejected, RowResult
from kinograd.endpoint.replies import Failure
from kinograd.endpoint.teacher import ASKED, Teacher, image_part
from kinograd.grading.extract import has_format, think_span
from kinograd.prompts import messages
from kinograd.rewards.score import check_routing, score_groups
from kinograd.types import (
    ORDERED,
    Clip,
    DataError,
    Example,
    Group,
    Judge,
    KinogradError,
    Rollout,
    StopReason,
    UsageError,
)
from kinograd.video.clip_store import ClipStore
from kinograd.video.faults import ClipError

_Placed = tuple[str, Example]
_BATCH = 64  # rows graded together: what judges are asked at once


def annotate(
    read: Callable[[], Iterable[RowResult]],
    source: str,
    out: Path,
    config: AnnotateConfig,
    teacher: Teacher,
    store: ClipStore,
    journal: Journal,
    judges: Mapping[str, Judge],
) -> Selection:
    """Ask the teacher about every row that the journal lacks; write what verifies to ``out``.

    Args:
        read: the rows, from the start at each call.
        source: their name in ``quarantine``.

    Raises:
        KinogradError: the teacher is down (what it answered is journalled), or left more rows
            without an answer than ``max_failed_fraction`` allows (after writing the files).
    """

    def rows() -> Iterator[tuple[str, RowResult]]:
        return _askable(locate(read(), source), config, judges)

    known = [journal.done(row_key(r)) is not None for _, r in rows() if isinstance(r, Example)]
    failures = ask_rows(
        teacher,
        ((where, row) for where, row in rows() if isinstance(row, Example)),
        _asker(teacher, store, config),
        journal,
        lambda placed: row_key(placed[1]),
        total=len(known),
        done=sum(known),
        label="annotating",
    )
    outcome = write_with_quarantine(out, _selected(rows(), failures, config, journal, judges))
    missing = sum(isinstance(f, Failure) for f in failures.values())
    if missing > config.max_failed_fraction * len(known):
        raise KinogradError(
            f"{missing} of {len(known)} rows got no answer; {out} holds the others. Run the same "
            "command again to ask those, or raise max_failed_fraction"
        )
    return outcome


def asked_of(config: AnnotateConfig) -> dict[str, Any]:
    """Return the settings that decide the replies, for the digest of the journal."""
    kept = {"teacher": ASKED, "video": True, "prompt": True, "samples": True}
    return config.model_dump(mode="json", include=kept)


def _askable(
    rows: Iterable[tuple[str, RowResult]], config: AnnotateConfig, judges: Mapping[str, Judge]
) -> Iterator[tuple[str, RowResult]]:
    """Yield the rows; those of a kind without a grader are rejected before they cost anything."""
    faults: dict[str, str | None] = {}
    for where, row in rows:
        if isinstance(row, Example):
            if row.kind not in faults:
                try:
                    check_routing([row.kind], config.reward, judges)
                    faults[row.kind] = None
                except UsageError as error:
                    faults[row.kind] = str(error)
            if why := faults[row.kind]:
                row = Rejected(where, Reason.KIND, why, row.id)
        yield where, row


# ---------------------------------------------------------------------- asking


def _asker(
    teacher: Teacher, store: ClipStore, config: AnnotateConfig
) -> Callable[[_Placed], Awaitable[dict[str, Any] | Failure | Rejected]]:
    async def ask_one(placed: _Placed) -> dict[str, Any] | Failure | Rejected:
        where, example = placed
        try:
            clips = [await asyncio.to_thread(store.get, m) for m in example.media]
            chat = await conversation(example, clips, config.prompt, config.teacher.jpeg_quality)
        except ClipError as error:
            return Rejected(where, Reason.CLIP, str(error), example.id)
        except DataError as error:
            return Rejected(where, Reason.SCHEMA, str(error), example.id)
        replies = await teacher.converse(chat, config.samples)
        if isinstance(replies, Failure):
            return replies
        return {"replies": [[reply.text, reply.truncated] for reply in replies]}

    return ask_one


async def conversation(
    example: Example, clips: Iterable[Clip], prompt: PromptConfig, quality: int
) -> list[dict[str, Any]]:
    """Build the published question as chat messages, with frames where it names a medium.

    Raises:
        DataError: placeholders and media do not match.
    """
    left = iter(clips)
    chat: list[dict[str, Any]] = []
    for message in messages(example, prompt):
        content = message["content"]
        if not isinstance(content, str):
            parts: list[dict[str, Any]] = []
            for part in content:
                if part["type"] == "text":
                    parts.append(part)
                else:
                    parts += [await image_part(f, quality) for f in next(left).frames]
            content = parts
        chat.append({"role": message["role"], "content": content})
    return chat


# ------------------------------------------------------------------- selecting


def _selected(
    rows: Iterable[tuple[str, RowResult]],
    failures: Mapping[str, Failure | Rejected],
    config: AnnotateConfig,
    journal: Journal,
    judges: Mapping[str, Judge],
) -> Iterator[RowResult]:
    left = iter(rows)
    while batch := list(islice(left, _BATCH)):
        records = [journal.done(row_key(r)) if isinstance(r, Example) else None for _, r in batch]
        groups = iter(
            score_groups(
                [
                    Group(row, ORDERED, tuple(_rollout(text) for text, _ in record["replies"]))
                    for (_, row), record in zip(batch, records, strict=True)
                    if record is not None and isinstance(row, Example)
                ],
                config.reward,
                judges,
            )
        )
        for (where, row), record in zip(batch, records, strict=True):
            if isinstance(row, Rejected):
                yield row
            elif record is not None:
                cut = [was_cut for _, was_cut in record["replies"]]
                yield choose(next(groups), cut, where, config)
            else:
                failure = failures[row_key(row)]
                yield (
                    failure
                    if isinstance(failure, Rejected)
                    else Rejected(where, Reason.TEACHER, f"no answer: {failure.detail}", row.id)
                )


def _rollout(text: str) -> Rollout:
    # Grading reads the text alone; a rollout without tokens would count as empty.
    token = np.zeros(1, np.int64)
    return Rollout(token, np.zeros(1, np.float32), text, StopReason.END)


def choose(group: Group, cut: list[bool], where: str, config: AnnotateConfig) -> RowResult:
    """Return the row with the rationale of its first right and well-formed reply, or why not.

    Args:
        group: the graded replies, one rollout each.
        cut: which of them ``max_tokens`` ended; those are never right.
    """
    example, k = group.example, len(group.rollouts)
    rewards = [s.parts.get("accuracy", 0.0) if s.unscored is None else None for s in group.scores]
    right = [
        i
        for i, reward in enumerate(rewards)
        if reward is not None and reward > config.threshold and not cut[i]
    ]

    def rejected(why: str) -> Rejected:
        return Rejected(where, Reason.TEACHER, why, example.id)

    if not right:
        if all(cut):
            return rejected(f"cut off: max_tokens is {config.teacher.max_tokens}")
        known = [r for r in rewards if r is not None]
        if not known:
            return rejected(f"not graded: {group.scores[0].detail}")
        return rejected(f"wrong: the best reward {max(known):.3g} is not above {config.threshold}")
    if len(right) < config.agree * k:
        return rejected(f"no agreement: {len(right)} of {k} replies are right")
    for i in right:
        text = group.rollouts[i].text
        if has_format(text, "prefix") and (thoughts := think_span(text)):
            note = {
                "model": config.teacher.model,
                "reward": rewards[i],
                "samples": k,
                "right": len(right),
            }
            extra = {**example.extra, "annotation": note}
            return replace(example, rationale=thoughts, extra=extra)
    return rejected("no single think block: none of the right replies thinks once, then answers")
