"""A teacher: a model behind OpenAI-compatible URLs that looks at frames and writes text.

``Teacher`` asks one question, ``teach`` many rows at once with a journal. HTTP, retries,
rate limits and deadlines are ``endpoint.transport``'s.
"""

from __future__ import annotations

import asyncio
import base64
import io
import os
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from kinograd.config.teacher import TeacherConfig
from kinograd.curate.journal import Journal
from kinograd.datasets.rows import Rejected
from kinograd.endpoint.rate_limit import Pace
from kinograd.endpoint.transport import Failure, Transport
from kinograd.progress import Progress, progress
from kinograd.types import KinogradError, Unscored

T = TypeVar("T")

ASKED = {"model", "temperature", "top_p", "max_tokens", "jpeg_quality"}
"""The settings of a teacher that decide its replies, for the digest of a journal."""
_REFUSED = frozenset({401, 403, 404})  # a wrong key or model: every other row ends the same


@dataclass(frozen=True, slots=True)
class Reply:
    """What a teacher wrote; ``cut``: ``max_tokens`` ended it, not the teacher."""

    text: str
    cut: bool


@dataclass(slots=True)
class Usage:
    """What was asked and what it took; tokens as the server counts them."""

    requests: int = 0
    failed: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0


class Teacher:
    """The teacher of one command; enter it (``async with``) where questions are asked.

    Args:
        backoff_s: wait before the second attempt of a request; doubled for each further one.
    """

    def __init__(self, config: TeacherConfig, backoff_s: float = 0.5) -> None:
        self.config, self.usage = config, Usage()
        self._requests = Pace(config.requests_per_minute)
        self._tokens = Pace(config.tokens_per_minute)
        self._backoff_s = backoff_s
        self._transport: Transport | None = None

    async def __aenter__(self) -> Teacher:
        key = os.environ.get(self.config.api_key_env) or "EMPTY"
        self._transport = Transport(self.config, key, self._requests, self._tokens, self._backoff_s)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._transport is not None
        await self._transport.close()
        self._transport = None

    @property
    def cost(self) -> float:
        """What the tokens so far cost, in the currency of the prices."""
        used, config = self.usage, self.config
        paid = used.prompt_tokens * config.price_in + used.completion_tokens * config.price_out
        return paid / 1e6

    async def ask(
        self, prompt: str, frames: Sequence[np.ndarray] = (), *, n: int = 1
    ) -> list[str] | Failure:
        """Up to ``n`` whole replies to one prompt that stands behind its frames.

        Args:
            frames: uint8 (C, H, W) RGB each, as ``Clip.frames`` holds them.

        Returns:
            The replies that ended by themselves; a Failure when there is none.
        """
        parts = [await image_part(f, self.config.jpeg_quality) for f in frames]
        content = [*parts, {"type": "text", "text": prompt}]
        replies = await self.converse([{"role": "user", "content": content}], n)
        if isinstance(replies, Failure):
            return replies
        whole = [reply.text for reply in replies if not reply.cut]
        limit = self.config.max_tokens
        return whole or Failure(
            Unscored.TRUNCATED, f"cut off after max_tokens={limit}", retryable=False
        )

    async def converse(
        self, messages: Sequence[Mapping[str, Any]], n: int = 1
    ) -> list[Reply] | Failure:
        """``n`` replies to chat messages; a server that gives fewer at once is asked again."""
        assert self._transport is not None, "enter the teacher first"
        config = self.config
        body = {
            "model": config.model,
            "messages": list(messages),
            "temperature": config.temperature,
            "top_p": config.top_p,
            "max_tokens": config.max_tokens,
        }
        replies: list[Reply] = []
        while len(replies) < n:
            left = n - len(replies)
            outcome = await self._transport.complete(body | ({"n": left} if left > 1 else {}))
            self.usage.requests += 1
            if isinstance(outcome, Failure):
                self.usage.failed += 1
                return outcome
            self.usage.prompt_tokens += outcome.prompt_tokens
            self.usage.completion_tokens += outcome.completion_tokens
            choices = [(outcome.text, outcome.finish), *outcome.more]
            replies += [Reply(text, finish == "length") for text, finish in choices[:left]]
        return replies


async def image_part(frame: np.ndarray, quality: int = 90) -> dict[str, Any]:
    """A frame, uint8 (C, H, W) RGB, as an ``image_url`` part: JPEG in a data URL."""

    def encode() -> str:
        from PIL import Image

        file = io.BytesIO()
        pixels = np.ascontiguousarray(frame.transpose(1, 2, 0))
        Image.fromarray(pixels).save(file, "JPEG", quality=quality)
        return base64.b64encode(file.getvalue()).decode()

    url = f"data:image/jpeg;base64,{await asyncio.to_thread(encode)}"
    return {"type": "image_url", "image_url": {"url": url}}


def teach(
    teacher: Teacher,
    items: Iterable[T],
    ask_one: Callable[[T], Awaitable[Mapping[str, Any] | Failure | Rejected]],
    journal: Journal,
    id_of: Callable[[T], str],
    *,
    total: int,
    done: int = 0,
    label: str = "teaching",
) -> dict[str, Failure | Rejected]:
    """Ask about every item whose id the journal lacks, many at once, and journal each record.

    Neither failures of the teacher nor rows that could not be asked about (Rejected) are
    journalled: the next run of the same command tries those rows again.

    Args:
        items: read lazily; as many are held as may be under way.
        total, done: how many items there are, and how many of them the journal has.
        ask_one: an item's record; runs while the teacher is entered, about as many side by
            side as ``4 x max_concurrency``, so that rows that wait leave no server idle.

    Returns:
        Failures and rejected rows by id.

    Raises:
        KinogradError: the teacher is down or refuses us; what it answered is journalled.
    """
    failures: dict[str, Failure | Rejected] = {}
    in_a_row = 0
    began, answered = time.monotonic(), 0

    async def one(item: T, bar: Progress, places: asyncio.Semaphore) -> None:
        nonlocal in_a_row, answered
        id = id_of(item)
        try:
            record = await ask_one(item)
        finally:
            places.release()
        if isinstance(record, Rejected):
            failures[id] = record
        elif isinstance(record, Failure):
            failures[id] = record
            in_a_row += 1
            if in_a_row >= teacher.config.give_up_after or record.status in _REFUSED:
                raise KinogradError(_down(teacher.config, record, journal))
        else:
            journal.append(id, record)
            in_a_row = 0
        answered += 1
        bar.advance(1, **_figures(teacher, answered / (time.monotonic() - began)))

    async def run() -> None:
        places = asyncio.Semaphore(4 * teacher.config.max_concurrency)
        with progress(total, label, done=done) as bar:
            async with teacher, asyncio.TaskGroup() as group:
                for item in items:
                    if journal.done(id_of(item)) is None:
                        await places.acquire()
                        group.create_task(one(item, bar, places))

    try:
        asyncio.run(run())
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None
    return failures


def _figures(teacher: Teacher, rows_per_s: float) -> dict[str, float | str]:
    used = teacher.usage
    shown: dict[str, float | str] = {
        "rows/s": rows_per_s,
        "tokens in": str(used.prompt_tokens),
        "out": str(used.completion_tokens),
    }
    return shown | ({"cost": teacher.cost} if teacher.cost else {})


def _down(config: TeacherConfig, failure: Failure, journal: Journal) -> str:
    return (
        f"the teacher does not answer: {failure.detail}. {len(journal)} answers are kept in "
        f"{journal.path}; run the same command again to go on. Is the server up, does it serve "
        f"model {config.model!r}, and does ${config.api_key_env} hold its key?"
    )
