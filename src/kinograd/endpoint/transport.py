"""Chat completions from several endpoints that may be slow, busy, broken, hostile or down.

One HTTP client (httpx) under our own retries: they may go to another URL, count against the
rate limits and stop at a deadline that covers all attempts together. Response bodies are
read as a stream, because their length must be bounded before they are in memory.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from kinograd.endpoint.rate_limit import RateLimiter
from kinograd.endpoint.replies import (
    BodyError,
    ChatCompletion,
    Choice,
    Failure,
    parse_retry_after,
    read_body,
    read_completion,
    unavailable,
)
from kinograd.keys import derive_seed
from kinograd.types import Unscored, UsageError

if TYPE_CHECKING:
    import httpx

    from kinograd.config.endpoint import EndpointConfig

_RETRYABLE = frozenset({408, 409, 425, 429})  # and every 5xx
_LONGEST_BACKOFF_S = 8.0
_MOST_REDIRECTS = 3
_DETAIL_CHARS = 300
# Cautious guesses, corrected by the server's own count.
_CHARS_PER_TOKEN = 3.0
_TOKENS_PER_IMAGE = 400.0
_MOST_CORRECTION = 100.0  # times the estimate: a server's absurd count must not stop the rest
_NO_KEY = "[API key]"  # replaces the key wherever a server repeats it
_SHORTEST_KEY_IN_TEXT = 8  # shorter "keys" are ordinary words, which replies may hold


@dataclass(slots=True)
class Usage:
    """Counts of what an endpoint was asked and what it took; tokens as the server counts.

    ``completed`` and ``failed`` count requests, each with all its attempts; ``seconds`` is
    the time of the completed ones' last attempts.
    """

    completed: int = 0
    failed: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0

    def add(self, outcome: ChatCompletion | Failure) -> None:
        """Count one outcome."""
        if isinstance(outcome, Failure):
            self.failed += 1
            return
        self.completed += 1
        self.prompt_tokens += outcome.prompt_tokens
        self.completion_tokens += outcome.completion_tokens
        self.seconds += outcome.seconds


class Account:
    """Rate limits, key and usage of one judge or teacher, over all its event loops.

    Raises:
        UsageError: the key holds characters that no HTTP header may hold.
    """

    def __init__(self, config: EndpointConfig) -> None:
        self.requests = RateLimiter(config.requests_per_minute)
        self.tokens = RateLimiter(config.tokens_per_minute)
        self.usage = Usage()
        self._variable = config.api_key_env

    @property
    def key(self) -> str:
        """API key of the environment; "" if it holds none."""
        key = os.environ.get(self._variable, "").strip()
        if not (key.isascii() and (key.isprintable() or not key)):
            raise UsageError(f"${self._variable} is no API key: it holds more than printable ASCII")
        return key


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
    target: httpx.URL
    shown: str  # without password and query, which may hold a key
    in_flight: int = 0
    failures: int = 0
    avoid_until: float = 0.0

    @classmethod
    def at(cls, url: str) -> _Endpoint:
        """Parse an address; raise a UsageError if it is no URL."""
        import httpx

        try:
            base = httpx.URL(url)
        except httpx.InvalidURL as error:
            raise UsageError(f"{url!r} is no URL: {error}") from None
        if base.scheme not in ("http", "https") or not base.host:
            raise UsageError(f"{url!r} is no URL such as http://127.0.0.1:8000/v1")
        target = base.copy_with(path=base.path.rstrip("/") + "/chat/completions")
        return cls(url, target, f"{base.scheme}://{base.netloc.decode()}{base.path}")

    def note(self, failed: bool, retry_after_s: float) -> None:
        """Record an attempt; after a failure the endpoint is avoided for a while."""
        self.failures = self.failures + 1 if failed else 0
        pause = min(0.5 * 2.0 ** min(self.failures, 6), 30.0) if failed else 0.0
        self.avoid_until = time.monotonic() + max(pause, retry_after_s)


class Transport:
    """Open connections of one event loop to the URLs of one judge or teacher.

    At most ``max_concurrency`` attempts are on the wire. Four times as many requests may be
    open, so that those which wait before a retry leave their place to others and still get
    it back soon. The deadline of a request starts with its first attempt.

    Args:
        account: what is shared with other event loops.
        backoff_s: wait before the second attempt; doubled for each further one.

    Raises:
        UsageError: an address that is no URL; see also ``Account``.
    """

    def __init__(self, config: EndpointConfig, account: Account, backoff_s: float) -> None:
        import httpx

        self._config, self._account, self._backoff_s = config, account, backoff_s
        self._key = account.key
        # Packed replies are unpacked by read_body, within its bound; so no codec beyond gzip.
        headers = {"authorization": f"Bearer {self._key or 'EMPTY'}", "accept-encoding": "gzip"}
        self._client = httpx.AsyncClient(
            headers=headers | {"content-type": "application/json"},
            timeout=config.timeout_s,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=None),
            follow_redirects=False,
        )
        self._endpoints = [_Endpoint.at(url) for url in config.urls]
        self._slots = asyncio.Semaphore(config.max_concurrency)
        self._open = asyncio.Semaphore(4 * config.max_concurrency)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def complete(
        self, body: dict[str, Any], only: str | None = None
    ) -> ChatCompletion | Failure:
        """Ask for one chat completion until success, a final refusal or the deadline.

        Args:
            body: the JSON of the request.
            only: the one URL to ask; None for whichever is well and least busy.
        """
        estimate = estimate_tokens(body)
        async with self._open:
            outcome = await self._retry(body, only, estimate)
        self._account.usage.add(outcome)
        if isinstance(outcome, ChatCompletion) and outcome.prompt_tokens:
            tokens = outcome.prompt_tokens + outcome.completion_tokens
            self._account.tokens.correct(min(tokens, _MOST_CORRECTION * estimate) - estimate)
        return outcome

    async def _retry(
        self, body: dict[str, Any], only: str | None, estimate: float
    ) -> ChatCompletion | Failure:
        deadline = float("inf")
        last = "none was made"
        account = self._account
        for attempt in range(self._config.max_retries + 1):
            await asyncio.sleep(max(account.requests.reserve(), account.tokens.reserve(estimate)))
            async with self._slots:
                now = time.monotonic()
                if attempt == 0:
                    deadline = now + self._config.deadline_s
                limit_s = min(self._config.timeout_s, deadline - now)
                if limit_s <= 0:
                    break
                outcome = await self._attempt(self._choose(only), body, limit_s)
            if isinstance(outcome, ChatCompletion) or not outcome.retryable:
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
        # Exponential back-off; the jitter is keyed by the request, so that a batch that
        # failed together does not come back together.
        jitter = derive_seed(json.dumps(body["messages"]), attempt) / 2.0**63
        pause = min(self._backoff_s * 2.0 ** min(attempt, 16), _LONGEST_BACKOFF_S)
        return pause * (0.75 + 0.25 * jitter)

    def _choose(self, only: str | None) -> _Endpoint:
        now = time.monotonic()
        candidates = [e for e in self._endpoints if only is None or e.url == only]
        return min(candidates, key=lambda e: (max(0.0, e.avoid_until - now), e.in_flight))

    async def _attempt(
        self, endpoint: _Endpoint, body: dict[str, Any], limit_s: float
    ) -> ChatCompletion | Failure:
        endpoint.in_flight += 1
        try:
            outcome = await self._send(endpoint, body, limit_s)
        finally:
            endpoint.in_flight -= 1
        failed = isinstance(outcome, Failure) and outcome.retryable
        endpoint.note(failed, outcome.retry_after_s if isinstance(outcome, Failure) else 0.0)
        return outcome

    # ------------------------------------------------------------------ one attempt

    async def _send(
        self, endpoint: _Endpoint, body: dict[str, Any], limit_s: float
    ) -> ChatCompletion | Failure:
        import httpx

        packed = json.dumps(body, separators=(",", ":")).encode()
        started = time.monotonic()
        try:
            # httpx's own timeout restarts with every byte; this one bounds the entire attempt.
            async with asyncio.timeout(limit_s):
                response, data = await self._post(endpoint.target, packed)
        except (TimeoutError, httpx.TimeoutException):
            why = f"{endpoint.shown}: no answer within {limit_s:.3g} s"
            return Failure(Unscored.JUDGE_TIMEOUT, why)
        except BodyError as error:
            return unavailable(f"{endpoint.shown}: reply {error}")
        except httpx.HTTPError as error:
            why = f"{type(error).__name__} {error} {error.__cause__ or ''}"
            return unavailable(self._shown(f"{endpoint.shown}: {why}"))
        if len(self._key) >= _SHORTEST_KEY_IN_TEXT:  # before anything is parsed or cut off
            data = data.replace(self._key.encode(), _NO_KEY.encode())
        if response.status_code != 200:
            return self._refusal(endpoint, response, data)
        outcome = read_completion(data, time.monotonic() - started)
        if isinstance(outcome, Failure):
            return replace(outcome, detail=self._shown(f"{endpoint.shown}: {outcome.detail}"))
        return self._without_key(replace(outcome, url=endpoint.shown))

    async def _post(self, target: httpx.URL, content: bytes) -> tuple[httpx.Response, bytes]:
        """Send one request; redirects within the same server are followed, others are not."""
        request = self._client.build_request("POST", target, content=content)
        redirects = 0
        while True:
            response = await self._client.send(request, stream=True)
            try:
                onward = response.next_request
                if redirects == _MOST_REDIRECTS or not _same_server(onward, request):
                    encoding = response.headers.get("content-encoding", "")
                    return response, await read_body(response.aiter_raw(), encoding)
            finally:
                await response.aclose()
            assert onward is not None
            request, redirects = onward, redirects + 1

    def _refusal(self, endpoint: _Endpoint, response: httpx.Response, data: bytes) -> Failure:
        status = response.status_code
        why = data.decode("utf-8", "replace")
        if response.has_redirect_location:
            # Whoever answers there would get the questions and the references.
            why = f"redirects to {response.headers['location']}, which is not followed"
        return unavailable(
            self._shown(f"{endpoint.shown}: HTTP {status}: {why}"),
            status=status,
            retryable=status >= 500 or status in _RETRYABLE,
            retry_after_s=parse_retry_after(response.headers),
        )

    def _shown(self, text: str) -> str:
        """Make an endpoint's text fit to print: without the key, control characters and length."""
        if self._key:
            text = text.replace(self._key, _NO_KEY)
        text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
        return text if len(text) <= _DETAIL_CHARS else text[:_DETAIL_CHARS] + " […]"

    def _without_key(self, completion: ChatCompletion) -> ChatCompletion:
        """Replace the key where a reply repeats it: replies are journalled and cached."""
        key = self._key
        if len(key) < _SHORTEST_KEY_IN_TEXT:
            return completion

        def clean(choice: Choice) -> Choice:
            return replace(choice, text=choice.text.replace(key, _NO_KEY))

        model = completion.model.replace(key, _NO_KEY)
        return replace(completion, choices=tuple(map(clean, completion.choices)), model=model)


def _same_server(onward: httpx.Request | None, request: httpx.Request) -> bool:
    """Check that a redirect keeps the method, the scheme, the host and the port."""
    return onward is not None and (onward.method, onward.url.scheme, onward.url.netloc) == (
        request.method,
        request.url.scheme,
        request.url.netloc,
    )
