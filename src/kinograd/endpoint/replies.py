"""Replies of an endpoint, read without trust: a bad reply is a ``Failure``, never an exception.

The text of a reply (``choices``) is read strictly. What only accompanies it (usage, log-
probabilities, the model's name) is dropped where it is malformed or impossible, because it
must not cost the text.
"""

from __future__ import annotations

import email.utils
import math
import time
import zlib
from collections.abc import AsyncIterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, Field, ValidationError, WrapValidator
from pydantic_core import from_json

from kinograd.types import Unscored

MAX_REPLY_BYTES = 16 << 20
"""Longest response body that is read, packed and unpacked; the longest honest one (eight
samples with log-probabilities) takes about a megabyte."""
_LONGEST_RETRY_AFTER_S = 3600.0
_MOST_TOKENS = 2**31  # a count above this is no count
_SHORT = 80  # characters kept of names that a server sends

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Choice:
    """One sampled message.

    Attributes:
        finish: the server's finish reason, such as ``stop`` or ``length``; "" if it gave none.
        logprobs: likeliest first tokens to their natural log-probabilities; empty without.
    """

    text: str
    finish: str = ""
    logprobs: Mapping[str, float] = field(default_factory=dict[str, float])

    @property
    def truncated(self) -> bool:
        """True if the token limit ended the message."""
        return self.finish == "length"


@dataclass(frozen=True, slots=True)
class ChatCompletion:
    """A well-formed response: at least one choice, token counts and what it took.

    Attributes:
        model: name that the server gives its model; "" if it gave none.
        url: who replied.
        prompt_tokens, completion_tokens: as the server counts them; 0 if it did not.
        seconds: from sending the request to reading the last byte.
    """

    choices: tuple[Choice, ...]
    model: str = ""
    url: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Failure:
    """Reason why there is no completion; ``retryable`` if another attempt may succeed."""

    reason: Unscored
    detail: str
    status: int | None = None
    retryable: bool = True
    retry_after_s: float = 0.0


def unavailable(detail: str, **more: Any) -> Failure:
    """Return a failure of the endpoint, as opposed to one of time or form."""
    return Failure(Unscored.JUDGE_UNAVAILABLE, detail, **more)


def _or_none(value: Any, handler: Any) -> Any:
    try:
        return handler(value)
    except ValidationError:
        return None


Lenient = Annotated[T | None, WrapValidator(_or_none)]


class _Top(BaseModel):
    token: str
    # Above 0 is no log-probability; a rounding error is let through.
    logprob: float = Field(le=1e-3, allow_inf_nan=True)


class _Position(BaseModel):
    top_logprobs: list[_Top] = []


class _Logprobs(BaseModel):
    content: list[_Position] | None = None


class _Message(BaseModel):
    content: str | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: Lenient[str] = None
    logprobs: Lenient[_Logprobs] = None


_Count = Annotated[int, Field(ge=0, le=_MOST_TOKENS)]


class _Usage(BaseModel):
    prompt_tokens: _Count = 0
    completion_tokens: _Count = 0


class _Body(BaseModel):
    choices: list[_Choice] = Field(min_length=1)
    usage: Lenient[_Usage] = None
    model: Lenient[str] = None


def read_completion(body: bytes, seconds: float = 0.0) -> ChatCompletion | Failure:
    """Parse a response body; anything malformed is a Failure that is worth a retry.

    The body is UTF-8, whatever charset its header names (RFC 8259). Lone surrogates,
    nesting beyond the parser's limit and numbers that are none make it malformed.
    """
    try:
        parsed = _Body.model_validate_json(body)
    except ValidationError as error:
        why = error.errors(include_url=False)[0]["msg"]
        start = body[:120].decode("utf-8", "replace")
        return unavailable(f"malformed response: {why}: {start!r}")
    usage = parsed.usage or _Usage()
    return ChatCompletion(
        choices=tuple(_choice(choice) for choice in parsed.choices),
        model=(parsed.model or "")[:_SHORT],
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        seconds=seconds,
    )


def _choice(choice: _Choice) -> Choice:
    positions = (choice.logprobs.content if choice.logprobs else None) or []
    first = positions[0].top_logprobs if positions else []
    logprobs = {top.token: top.logprob for top in first}
    # One impossible entry discredits the others: a mean over the rest would be another number.
    if any(math.isnan(value) for value in logprobs.values()):
        logprobs = {}
    text, finish = choice.message.content or "", choice.finish_reason or ""
    return Choice(text, finish[:_SHORT], logprobs)


def parse_json_object(text: str) -> dict[str, Any] | None:
    """Parse untrusted text as a JSON object; None for anything else.

    Deep nesting, lone surrogates, NaN and endless numbers give None too.
    """
    try:
        found = from_json(text, allow_inf_nan=False)
    except (ValueError, TypeError):  # TypeError: the text itself holds a lone surrogate
        return None
    return found if isinstance(found, dict) else None


class BodyError(Exception):
    """A response body that is too long, damaged or packed in an unknown way."""


async def read_body(chunks: AsyncIterable[bytes], encoding: str) -> bytes:
    """Read a body of at most ``MAX_REPLY_BYTES``, packed and unpacked.

    Args:
        chunks: the bytes as they arrive.
        encoding: the ``content-encoding`` header: "", ``identity``, ``gzip`` or ``deflate``.

    Raises:
        BodyError: naming what is wrong with the body.
    """
    encoding = encoding.strip().lower()
    if encoding not in ("", "identity", "gzip", "x-gzip", "deflate"):
        raise BodyError(f"content-encoding {encoding[:_SHORT]!r} was not asked for")
    unpack = zlib.decompressobj(wbits=47) if encoding not in ("", "identity") else None
    body, packed = bytearray(), 0
    async for chunk in chunks:
        packed += len(chunk)
        room = MAX_REPLY_BYTES + 1 - len(body)
        try:
            body += unpack.decompress(chunk, room) if unpack else chunk
        except zlib.error as error:
            raise BodyError(f"damaged {encoding}: {error}") from None
        if max(packed, len(body)) > MAX_REPLY_BYTES:
            raise BodyError(f"longer than {MAX_REPLY_BYTES >> 20} MiB")
    if unpack and not unpack.eof:
        raise BodyError(f"incomplete {encoding}")
    return bytes(body)


def parse_retry_after(headers: Mapping[str, str]) -> float:
    """Return the seconds that a server asks to wait, at most an hour; 0 if it does not ask.

    Read are ``retry-after-ms`` and ``retry-after`` (seconds or an HTTP date).
    """
    for name, unit_s in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        value = headers.get(name)
        if value is None:
            continue
        try:
            seconds = float(value) * unit_s
        except ValueError:
            try:
                seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
            except (ValueError, OverflowError, TypeError):
                continue
        return min(max(0.0, seconds), _LONGEST_RETRY_AFTER_S)
    return 0.0
