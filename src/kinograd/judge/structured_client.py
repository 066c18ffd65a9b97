"""Questions to a judge model: constrained, cached, never asked twice at once.

``Asker`` knows prompts and forms of reply, not kinds or scores; ``client`` does.
"""

from __future__ import annotations

import asyncio
import os
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypeVar

from kinograd.config.schema import OpenAIJudge
from kinograd.endpoint.rate_limit import Pace
from kinograd.endpoint.transport import Completion, Failure, Transport
from kinograd.judge.cache import Reply, ReplyCache, cache_key
from kinograd.judge.templates import Message, load_template
from kinograd.judge.verdict import FREE_TOKENS, Form, Mode, OneLabel
from kinograd.types import KinogradError, Unscored, UsageError

T = TypeVar("T")

# A bound reply of another form is the endpoint's fault and may pass; an unbound one comes
# out the same again at temperature 0.
_FORM_ATTEMPTS = 3
_TOP_LOGPROBS = 20
_PROBE = OneLabel(("kinograd-accepts",))
_PROBE_MESSAGES: tuple[Message, ...] = ({"role": "user", "content": "Say hello."},)
_UNSUPPORTED = frozenset({400, 422, 501})


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """A legal reply, parsed, and its likeliest first tokens with their log-probabilities."""

    value: T
    logprobs: Mapping[str, float]


Ask = Callable[[str, Form, Mapping[str, str]], Awaitable[Answer[Any] | Failure]]
"""(prompt name, form of the reply, prompt values) -> Answer or Failure."""


@dataclass(slots=True)
class _Session:
    """What belongs to one event loop: connections, and the questions now in flight."""

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


class Asker:
    """Puts questions to the model of one judge, always at temperature 0.

    Calls may come from several tasks, and from one event loop after another (a training
    step runs its own): the bound on concurrency holds per loop, rates over all of them.

    Attributes:
        stats: counts since the start of the process (``requests``, ``reused``), and the
            ``seconds`` and tokens of completed requests.
    """

    def __init__(self, name: str, config: OpenAIJudge, backoff_s: float) -> None:
        self.stats: defaultdict[str, float] = defaultdict(float)
        self.mode: Mode | None = None
        self._name, self._config, self._backoff_s = name, config, backoff_s
        self._cache = ReplyCache(config.cache)
        self._requests = Pace(config.requests_per_minute)
        self._tokens = Pace(config.tokens_per_minute)
        self._sessions: dict[asyncio.AbstractEventLoop, _Session] = {}

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Ask]:
        """How to ask, while connections are open; calls that overlap share them.

        Raises:
            KinogradError: on first use, if an endpoint cannot be reached or refuses us.
            UsageError: on first use, if an endpoint does not honour what the recipe wants.
        """
        loop = asyncio.get_running_loop()
        if loop not in self._sessions:
            key = os.environ.get(self._config.api_key_env) or "EMPTY"
            self._sessions[loop] = _Session(
                Transport(self._config, key, self._requests, self._tokens, self._backoff_s)
            )
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
        self, session: _Session, mode: Mode, prompt: str, form: Form, values: Mapping[str, str]
    ) -> Answer[Any] | Failure:
        template = load_template(self._config.prompts, prompt)
        messages = template.render(reply=form.instruction(mode), **values)
        sampling = self._sampling(form, mode)
        key = cache_key(self._config.model, template.version, sampling, messages)

        async def fetch() -> Answer[Any] | Failure:
            body = {"model": self._config.model, "messages": list(messages), **sampling}
            attempts = 1 if mode is Mode.TEXT else _FORM_ATTEMPTS
            while True:
                outcome = await session.transport.complete(body)
                if isinstance(outcome, Failure):
                    return outcome
                self.stats["requests"] += 1
                for what in ("seconds", "prompt_tokens", "completion_tokens"):
                    self.stats[what] += getattr(outcome, what)
                # What the budget cut off would be cut off again, and its end proves nothing.
                cut = outcome.finish == "length"
                value = None if cut else form.parse(outcome.text, mode)
                if value is not None:
                    reply = Reply(outcome.text, outcome.logprobs)
                    self._cache.put(key, self._config.model, template.version, reply)
                    return Answer(value, reply.logprobs)
                attempts -= 1
                if cut or not attempts:
                    said = f"(finish reason {outcome.finish!r}): {outcome.text[:300]!r}"
                    return Failure(Unscored.JUDGE_UNPARSABLE, f"not a verdict {said}")

        reply = self._cache.get(key)
        if reply and (value := form.parse(reply.text, mode)) is not None:
            self.stats["reused"] += 1
            return Answer(value, reply.logprobs)
        if (task := session.in_flight.get(key)) is not None:
            self.stats["reused"] += 1
        else:
            task = asyncio.create_task(fetch())
            session.in_flight[key] = task
            task.add_done_callback(lambda _: session.in_flight.pop(key))
        # Shielded: who else waits for this reply must not lose it to one caller's end.
        return await asyncio.shield(task)

    def _sampling(self, form: Form, mode: Mode) -> dict[str, Any]:
        tokens = FREE_TOKENS if mode is Mode.TEXT else form.max_tokens(mode)
        sampling = {"temperature": 0.0, "max_tokens": tokens}
        if self._config.expected_score and isinstance(form, OneLabel):
            sampling |= {"logprobs": True, "top_logprobs": _TOP_LOGPROBS}
        return sampling | form.constraint(mode)

    # ---------------------------------------------------------- capability probe

    async def _agree_on_mode(self, transport: Transport) -> Mode:
        """The strongest mode that every URL honours, or the one that the recipe names.

        Many servers ignore fields they do not know. So the probe says "Say hello." and
        allows only a word that no model would say.
        """
        wanted = self._config.verdict
        for mode in Mode if wanted == "auto" else (Mode(wanted),):
            if all([await self._honours(transport, url, mode) for url in self._config.urls]):
                return mode
        raise UsageError(
            f"judges.{self._name}.verdict: {wanted!r} is not honoured by every URL "
            f"({', '.join(self._config.urls)}); 'auto' finds the strongest form that is"
        )

    async def _honours(self, transport: Transport, url: str, mode: Mode) -> bool:
        """Whether one URL binds replies in this mode; any living endpoint honours ``text``."""
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
            if mode is Mode.TEXT or _PROBE.parse(outcome.text, mode) is not None:
                self._require_logprobs(url, mode, outcome)
                return True
        return False

    def _require_logprobs(self, url: str, mode: Mode, completion: Completion) -> None:
        bare = mode in (Mode.CHOICE, Mode.REGEX)  # the label is the reply's first token
        if self._config.expected_score and not (bare and completion.logprobs):
            raise UsageError(
                f"judges.{self._name}.expected_score: {url} gives no log-probabilities of a bare "
                f"label (its verdicts come as {mode.value!r}); set expected_score to false"
            )
