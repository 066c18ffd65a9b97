"""A teacher: a model behind OpenAI-compatible URLs that looks at frames and writes text."""

from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kinograd.config.teacher import TeacherConfig
from kinograd.endpoint.replies import Choice, Failure
from kinograd.endpoint.transport import Account, Transport
from kinograd.types import Unscored

ASKED = {"model", "temperature", "top_p", "max_tokens", "jpeg_quality"}
"""Settings of a teacher that decide its replies, for the digest of a journal."""


class Teacher:
    """Teacher of one command; enter it (``async with``) where questions are asked.

    Args:
        backoff_s: wait before the second attempt of a request; doubled for each further one.
    """

    def __init__(self, config: TeacherConfig, backoff_s: float = 0.5) -> None:
        self.config = config
        self._account, self._backoff_s = Account(config), backoff_s
        self.usage = self._account.usage
        self._transport: Transport | None = None

    async def __aenter__(self) -> Teacher:
        self._transport = Transport(self.config, self._account, self._backoff_s)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._transport is not None
        await self._transport.close()
        self._transport = None

    @property
    def cost(self) -> float:
        """Cost of the tokens so far, in the currency of the prices."""
        used, config = self.usage, self.config
        paid = used.prompt_tokens * config.price_in + used.completion_tokens * config.price_out
        return paid / 1e6

    async def ask(
        self, prompt: str, frames: Sequence[np.ndarray] = (), *, n: int = 1
    ) -> list[str] | Failure:
        """Ask for ``n`` replies to a prompt that comes after its frames.

        Args:
            frames: uint8 (C, H, W) RGB each, as ``Clip.frames`` holds them.

        Returns:
            The replies that the token limit did not cut off; a Failure when there is none.
        """
        parts = [await image_part(f, self.config.jpeg_quality) for f in frames]
        content = [*parts, {"type": "text", "text": prompt}]
        choices = await self.converse([{"role": "user", "content": content}], n)
        if isinstance(choices, Failure):
            return choices
        complete = [choice.text for choice in choices if not choice.truncated]
        limit = self.config.max_tokens
        return complete or Failure(
            Unscored.TRUNCATED, f"cut off after max_tokens={limit}", retryable=False
        )

    async def converse(
        self, messages: Sequence[Mapping[str, Any]], n: int = 1
    ) -> list[Choice] | Failure:
        """Ask for ``n`` replies to chat messages; a server that gives fewer is asked again."""
        assert self._transport is not None, "enter the teacher first"
        config = self.config
        body = {
            "model": config.model,
            "messages": list(messages),
            "temperature": config.temperature,
            "top_p": config.top_p,
            "max_tokens": config.max_tokens,
        }
        choices: list[Choice] = []
        while (left := n - len(choices)) > 0:
            outcome = await self._transport.complete(body | ({"n": left} if left > 1 else {}))
            if isinstance(outcome, Failure):
                return outcome
            choices += outcome.choices[:left]
        return choices


async def image_part(frame: np.ndarray, quality: int = 90) -> dict[str, Any]:
    """Encode a frame, uint8 (C, H, W) RGB, as an ``image_url`` part: JPEG in a data URL."""

    def encode() -> str:
        from PIL import Image

        file = io.BytesIO()
        pixels = np.ascontiguousarray(frame.transpose(1, 2, 0))
        Image.fromarray(pixels).save(file, "JPEG", quality=quality)
        return base64.b64encode(file.getvalue()).decode()

    url = f"data:image/jpeg;base64,{await asyncio.to_thread(encode)}"
    return {"type": "image_url", "image_url": {"url": url}}
