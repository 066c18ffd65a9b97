"""Structured questions to one model: constrained, cached, never asked twice at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypeVar

from kinograd.config.schema import OpenAIJudge
from kinograd.endpoint.forms import FREE_TOKENS, Form, Mode, OneLabel
from kinograd.endpoint.replies import ChatCompletion, Failure, unavailable
from kinograd.endpoint.reply_cache import ReplyCache, cache_key
from kinograd.endpoint.transport import Account, Transport
from kinograd.types import KinogradError, Unscored, UsageError

T = TypeVar("T")

# A bound reply of another form is the endpoint's fault and may pass; an unbound one comes
# out the same again at temperature 0.
_FORM_ATTEMPTS = 3
_TOP_LOGPROBS = 20
_PROBE = OneLabel(("kinograd-accepts",))
_PROBE_MESSAGES = ({"role": "user", "content": "Say hello."},)
_UNSUPPORTED = frozenset({400, 422, 501})


@dataclass(frozen=True, slots=True)
class Question:
    """A question: its chat messages, and the name and version of the prompt they come from."""

    chat: Sequence[Mapping[str, str]]
    version: str


@dataclass(frozen=True, slots=True)
class Parsed(Generic[T]):
    """A reply of the wanted form, and its likeliest first tokens with their log-probabilities."""

    value: T
    logprobs: Mapping[str, float]


AskForm = Callable[[Question, Form], Awaitable[Parsed[Any] | Failure]]
"""Put one question and parse its reply, or say why there is none."""


@dataclass(slots=True)
class _Session:
    """State of one event loop: its connections, and the questions now in flight."""

    transport: Transport
    users: int = 0
    starting: asyncio.Lock = field(default_factory=asyncio.Lock)
    in_flight: dict[str, asyncio.Task[Any]] = field(default_factory=dict)

    async def close(self) -> None:
        abandoned = list(self.in_flight.values())
        for task in abandoned:
            task.cancel()
        await asyncio.gather(*abandoned, return_exceptions=True)
        await self.transport.close()


class StructuredClient:
    """Puts questions to the model of one judge, always at temperature 0.

    Calls may come from several tasks, and from one event loop after another (a training
    step runs its own): the bound on concurrency holds per loop, rates over all of them.

    Attributes:
        usage: requests and tokens since the start of the process.
        reused: questions answered without a request of their own.
        mode: how replies are bound; None before the first session.
        served: URL to the name that its server gave the model first.
    """

    def __init__(self, name: str, config: OpenAIJudge, backoff_s: float) -> None:
        self.mode: Mode | None = None
        self.reused = 0
        self._name, self._config, self._backoff_s = name, config, backoff_s
        self._cache = ReplyCache(config.cache)
        self._account = Account(config)
        self.usage = self._account.usage
        self._sessions: dict[asyncio.AbstractEventLoop, _Session] = {}
        self.served: dict[str, str] = {}
        self._cached_of = self._cache.served(config.model)

    @asynccontextmanager
    async def session(self) -> AsyncIterator[AskForm]:
        """Open connections and give the function that asks; calls that overlap share them.

        Raises:
            KinogradError: on first use, if an endpoint cannot be reached or rejects the key.
            UsageError: on first use, if an endpoint does not honour what the recipe wants.
        """
        loop = asyncio.get_running_loop()
        if loop not in self._sessions:
            transport = Transport(self._config, self._account, self._backoff_s)
            self._sessions[loop] = _Session(transport)
        session = self._sessions[loop]
        session.users += 1
        try:
            async with session.starting:
                if self.mode is None:
                    self.mode = await self._agree_on_mode(session.transport)
            yield partial(self._ask, session, self.mode)
        finally:
            session.users -= 1
            if not session.users:
                del self._sessions[loop]
                await session.close()

    # ---------------------------------------------------------------- one question

    async def _ask(
        self, session: _Session, mode: Mode, question: Question, form: Form
    ) -> Parsed[Any] | Failure:
        sampling = self._sampling(form, mode)
        key = cache_key(self._config.model, question.version, sampling, question.chat)
        reply = self._cache.get(key)
        if reply and (value := form.parse(reply.text, mode)) is not None:
            self.reused += 1
            return Parsed(value, reply.logprobs)
        if (task := session.in_flight.get(key)) is not None:
            self.reused += 1
        else:
            body = {"model": self._config.model, "messages": list(question.chat), **sampling}
            fetch = self._fetch(session.transport, body, form, mode, key, question.version)
            task = asyncio.create_task(fetch)
            session.in_flight[key] = task
            task.add_done_callback(lambda _: session.in_flight.pop(key))
        # Shielded: who else waits for this reply must not lose it to one caller's end.
        return await asyncio.shield(task)

    async def _fetch(
        self,
        transport: Transport,
        body: dict[str, Any],
        form: Form,
        mode: Mode,
        key: str,
        version: str,
    ) -> Parsed[Any] | Failure:
        attempts = 1 if mode is Mode.TEXT else _FORM_ATTEMPTS
        while True:
            outcome = await transport.complete(body)
            if isinstance(outcome, Failure):
                return outcome
            if changed := self._model_changed(outcome):
                return changed
            reply = outcome.choices[0]
            # What the budget cut off would be cut off again, and its end proves nothing.
            value = None if reply.truncated else form.parse(reply.text, mode)
            if value is not None:
                self._cache.put(key, self._config.model, version, reply)
                return Parsed(value, reply.logprobs)
            attempts -= 1
            if reply.truncated or not attempts:
                said = f"(finish reason {reply.finish!r}): {reply.text[:300]!r}"
                return Failure(Unscored.JUDGE_UNPARSABLE, f"not a verdict {said}")

    def _sampling(self, form: Form, mode: Mode) -> dict[str, Any]:
        tokens = FREE_TOKENS if mode is Mode.TEXT else form.max_tokens(mode)
        sampling = {"temperature": 0.0, "max_tokens": tokens}
        if self._config.expected_score and isinstance(form, OneLabel):
            sampling |= {"logprobs": True, "top_logprobs": _TOP_LOGPROBS}
        return sampling | form.constraint(mode)

    # ---------------------------------------------------------- capability probe

    async def _agree_on_mode(self, transport: Transport) -> Mode:
        """Find the strongest mode that every URL honours, or check the one of the recipe."""
        # Many servers ignore fields they do not know. So the probe says "Say hello." and
        # allows only a word that no model would say.
        wanted = self._config.verdict
        for mode in Mode if wanted == "auto" else (Mode(wanted),):
            if all([await self._honours(transport, url, mode) for url in self._config.urls]):
                return mode
        raise UsageError(
            f"judges.{self._name}.verdict: {wanted!r} is not honoured by every URL "
            f"({', '.join(self._config.urls)}); 'auto' finds the strongest form that is"
        )

    async def _honours(self, transport: Transport, url: str, mode: Mode) -> bool:
        """Check whether one URL binds replies in this mode; any that answers honours ``text``."""
        sampling = self._sampling(_PROBE, mode)
        body = {"model": self._config.model, "messages": list(_PROBE_MESSAGES), **sampling}
        for _ in range(_FORM_ATTEMPTS):
            outcome = await transport.complete(body, only=url)
            if isinstance(outcome, Failure):
                if outcome.status in _UNSUPPORTED and mode is not Mode.TEXT:
                    return False
                raise KinogradError(
                    f"judge {self._name!r} does not answer: {outcome.detail}. Is its server up "
                    f"(kinograd judge serve), does it serve model {self._config.model!r}, and "
                    f"does ${self._config.api_key_env} hold its key?"
                )
            self._require_model(outcome)
            if mode is Mode.TEXT or _PROBE.parse(outcome.choices[0].text, mode) is not None:
                self._require_logprobs(url, mode, outcome)
                return True
        return False

    def _model_changed(self, completion: ChatCompletion) -> Failure | None:
        """Compare the model that replied with the first one of its URL.

        A failure, not a warning: verdicts of two judges must not mix within one run.
        """
        said, url = completion.model, completion.url
        if not said or said == (first := self.served.setdefault(url, said)):
            return None
        why = f"{url}: the model changed: {said!r} replies, at first it was {first!r}"
        return unavailable(why, retryable=False)

    def _require_model(self, completion: ChatCompletion) -> None:
        """Record the model that a server names; reject one that the cache has no replies of."""
        said = completion.model
        if not said:
            return
        self.served.setdefault(completion.url, said)
        if self._cached_of and said not in self._cached_of:
            raise UsageError(
                f"judges.{self._name}.cache: {self._config.cache} holds replies of "
                f"{', '.join(sorted(self._cached_of))}, but {completion.url} serves {said} as "
                f"{self._config.model}: name another cache file"
            )
        self._cache.add_served(self._config.model, said)

    def _require_logprobs(self, url: str, mode: Mode, completion: ChatCompletion) -> None:
        label_first = mode in (Mode.CHOICE, Mode.REGEX)  # the label is the reply's first token
        if self._config.expected_score and not (label_first and completion.choices[0].logprobs):
            raise UsageError(
                f"judges.{self._name}.expected_score: {url} gives no log-probabilities of a bare "
                f"label (its verdicts come as {mode.value!r}); set expected_score to false"
            )
