"""One chat completion from several endpoints that may be slow, busy, broken or down.

The SDK's own retries are off: ours may go to another URL, count against the rate limits
and stop at a deadline that covers all attempts together.
"""

from __future__ import annotations

import asyncio
import email.utils
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field, ValidationError

from kinograd.keys import derive_seed
from kinograd.types import Unscored

if TYPE_CHECKING:
    from openai import AsyncOpenAI

    from kinograd.config.endpoint import EndpointConfig
    from kinograd.endpoint.rate_limit import Pace

_RETRYABLE = frozenset({408, 409, 425, 429})  # and every 5xx
_LONGEST_BACKOFF_S = 8.0
# Cautious guesses, corrected by the server's own count.
_CHARS_PER_TOKEN = 3.0
_TOKENS_PER_IMAGE = 400.0


@dataclass(frozen=True, slots=True)
class Completion:
    """A well-formed answer of an endpoint; ``more`` are (text, finish) of further choices."""

    text: str
    finish: str
    logprobs: Mapping[str, float]
    prompt_tokens: int
    completion_tokens: int
    seconds: float
    more: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no completion; ``retryable`` if another attempt may succeed."""

    reason: Unscored
    detail: str
    status: int | None = None
    retryable: bool = True
    retry_after_s: float = 0.0


# ------------------------------------------------- the part of a response we read


class _Top(BaseModel):
    token: str
    logprob: float


class _Position(BaseModel):
    top_logprobs: list[_Top] = []


class _Logprobs(BaseModel):
    content: list[_Position] | None = None


class _Message(BaseModel):
    content: str | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None
    logprobs: _Logprobs | None = None


class _Usage(BaseModel):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Body(BaseModel):
    choices: list[_Choice] = Field(min_length=1)
    usage: _Usage | None = None


def read_completion(body: str, seconds: float) -> Completion | Failure:
    """A response body as a Completion; anything malformed is a failure worth a retry."""
    try:
        parsed = _Body.model_validate_json(body)
    except ValidationError as error:
        what = error.errors(include_url=False)[0]["msg"]
        return Failure(Unscored.JUDGE_UNAVAILABLE, f"malformed response: {what}: {body[:120]!r}")
    choice = parsed.choices[0]
    usage = parsed.usage or _Usage()
    positions = (choice.logprobs.content if choice.logprobs else None) or []
    first = positions[0].top_logprobs if positions else []
    return Completion(
        text=choice.message.content or "",
        finish=choice.finish_reason or "",
        logprobs={top.token: top.logprob for top in first},
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        seconds=seconds,
        more=tuple((c.message.content or "", c.finish_reason or "") for c in parsed.choices[1:]),
    )


def parse_retry_after(headers: Mapping[str, str]) -> float:
    """Seconds that a server asks to wait (``retry-after-ms``, ``retry-after``); 0 if none."""
    for name, unit_s in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        value = headers.get(name)
        if value is None:
            continue
        try:
            return max(0.0, float(value) * unit_s)
        except ValueError:
            pass
        try:
            return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
        except ValueError:
            continue
    return 0.0


# --------------------------------------------------------------------- sending


def estimate_tokens(body: Mapping[str, Any]) -> float:
    """Tokens that a request may cost; a message's content is a text or a list of parts."""
    contents = [message["content"] for message in body["messages"]]
    parts = [p for c in contents for p in ([{"text": c}] if isinstance(c, str) else c)]
    prompt = (
        len(part["text"]) / _CHARS_PER_TOKEN if "text" in part else _TOKENS_PER_IMAGE
        for part in parts
    )
    return sum(prompt) + body["max_tokens"] * body.get("n", 1)


@dataclass(slots=True)
class _Endpoint:
    """One URL, avoided for a while after each failure when there is another."""

    url: str
    client: AsyncOpenAI
    in_flight: int = 0
    failures: int = 0
    avoid_until: float = 0.0

    def note(self, failed: bool, retry_after_s: float) -> None:
        self.failures = self.failures + 1 if failed else 0
        pause = min(0.5 * 2.0**self.failures, 30.0) if failed else 0.0
        self.avoid_until = time.monotonic() + max(pause, retry_after_s)


class Transport:
    """Open connections of one event loop to the URLs of one judge or teacher.

    At most ``max_concurrency`` attempts are on the wire. Four times as many requests may be
    open, so that those which wait before a retry leave their place to others and still get
    it back soon. The deadline of a request starts with its first attempt.

    Args:
        backoff_s: wait before the second attempt; doubled for each further one.
    """

    def __init__(
        self,
        config: EndpointConfig,
        api_key: str,
        requests: Pace,
        tokens: Pace,
        backoff_s: float,
    ) -> None:
        import openai

        self._config = config
        self._requests, self._tokens, self._backoff_s = requests, tokens, backoff_s
        self._client = openai.AsyncOpenAI(
            api_key=api_key, base_url=config.urls[0], timeout=config.timeout_s, max_retries=0
        )
        self._endpoints = [
            _Endpoint(url, self._client.with_options(base_url=url)) for url in config.urls
        ]
        self._slots = asyncio.Semaphore(config.max_concurrency)
        self._open = asyncio.Semaphore(4 * config.max_concurrency)

    async def close(self) -> None:
        await self._client.close()

    async def complete(self, body: dict[str, Any], only: str | None = None) -> Completion | Failure:
        """One chat completion, tried again until success, a final refusal or the deadline.

        Args:
            body: the JSON of the request.
            only: the one URL to ask; None for whichever is well and least busy.
        """
        estimate = estimate_tokens(body)
        async with self._open:
            outcome = await self._retry(body, only, estimate)
        if isinstance(outcome, Completion) and outcome.prompt_tokens:
            self._tokens.correct(outcome.prompt_tokens + outcome.completion_tokens - estimate)
        return outcome

    async def _retry(
        self, body: dict[str, Any], only: str | None, estimate: float
    ) -> Completion | Failure:
        deadline = float("inf")
        last = "none was made"
        for attempt in range(self._config.max_retries + 1):
            await asyncio.sleep(max(self._requests.reserve(), self._tokens.reserve(estimate)))
            async with self._slots:
                now = time.monotonic()
                if attempt == 0:
                    deadline = now + self._config.deadline_s
                limit_s = min(self._config.timeout_s, deadline - now)
                if limit_s <= 0:
                    break
                outcome = await self._attempt(self._choose(only), body, limit_s)
            if isinstance(outcome, Completion) or not outcome.retryable:
                return outcome
            if attempt == self._config.max_retries:
                return outcome
            last = outcome.detail
            pause = max(self._pause(body, attempt), outcome.retry_after_s)
            if time.monotonic() + pause >= deadline:
                break
            await asyncio.sleep(pause)
        return Failure(
            Unscored.JUDGE_TIMEOUT,
            f"no answer within deadline_s={self._config.deadline_s:g}; last attempt: {last}",
        )

    def _pause(self, body: dict[str, Any], attempt: int) -> float:
        """Exponential back-off, its jitter keyed by the request: a batch comes back apart."""
        jitter = derive_seed(body["messages"], attempt) / 2.0**63
        return min(self._backoff_s * 2.0**attempt, _LONGEST_BACKOFF_S) * (0.75 + 0.25 * jitter)

    def _choose(self, only: str | None) -> _Endpoint:
        now = time.monotonic()
        candidates = [e for e in self._endpoints if only is None or e.url == only]
        return min(candidates, key=lambda e: (max(0.0, e.avoid_until - now), e.in_flight))

    async def _attempt(
        self, endpoint: _Endpoint, body: dict[str, Any], limit_s: float
    ) -> Completion | Failure:
        endpoint.in_flight += 1
        try:
            outcome = await self._send(endpoint, body, limit_s)
        finally:
            endpoint.in_flight -= 1
        failed = isinstance(outcome, Failure) and outcome.retryable
        endpoint.note(failed, outcome.retry_after_s if isinstance(outcome, Failure) else 0.0)
        return outcome

    async def _send(
        self, endpoint: _Endpoint, body: dict[str, Any], limit_s: float
    ) -> Completion | Failure:
        import openai

        started = time.monotonic()
        try:
            # The SDK's timeout restarts with every byte; this one bounds the whole attempt.
            async with asyncio.timeout(limit_s):
                text = await endpoint.client.post("/chat/completions", cast_to=str, body=body)
        except (TimeoutError, openai.APITimeoutError):
            return Failure(
                Unscored.JUDGE_TIMEOUT, f"{endpoint.url}: no answer within {limit_s:.3g} s"
            )
        except openai.APIStatusError as error:
            status = error.status_code
            return Failure(
                Unscored.JUDGE_UNAVAILABLE,
                f"{endpoint.url}: HTTP {status}: {error.message[:300]}",
                status=status,
                retryable=status >= 500 or status in _RETRYABLE,
                retry_after_s=parse_retry_after(error.response.headers),
            )
        except openai.APIError as error:
            return Failure(
                Unscored.JUDGE_UNAVAILABLE,
                f"{endpoint.url}: {error.message} {error.__cause__ or ''}".strip(),
            )
        return read_completion(text, time.monotonic() - started)
