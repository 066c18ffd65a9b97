"""Replies that no honest server gives: each is a value with a reason, never a traceback."""

from __future__ import annotations

import asyncio
import gzip
import json
import socketserver
import threading
import zlib
from collections.abc import Callable, Generator
from contextlib import suppress
from typing import Any

import pytest

from kinograd.config.schema import OpenAIJudge
from kinograd.config.teacher import TeacherConfig
from kinograd.endpoint.replies import (
    MAX_REPLY_BYTES,
    ChatCompletion,
    Failure,
    parse_json_object,
    parse_retry_after,
    read_completion,
)
from kinograd.endpoint.teacher import Teacher
from kinograd.endpoint.transport import Account, Transport
from kinograd.types import Unscored, UsageError

KEY = "sk-very-secret-0123456789"
Answer = Callable[[str], bytes]
Raw = Callable[[Answer], "RawServer"]


def completion(text: Any = "hello", **more: Any) -> bytes:
    choice = {"message": {"content": text}, "finish_reason": "stop"} | more.pop("choice", {})
    return json.dumps({"choices": [choice], **more}).encode()


def http(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class RawServer(socketserver.ThreadingTCPServer):
    """Sends prepared bytes, whatever they are; ``answer`` gets a request's head."""

    allow_reuse_address = daemon_threads = True

    def __init__(self, answer: Answer) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer = answer
        self.heads: list[str] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}/v1"


class _Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        assert isinstance(self.server, RawServer)
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            if not (line := self.rfile.readline()):
                return
            head += line
        length = next(
            int(line.split(b":")[1])
            for line in head.lower().split(b"\r\n")
            if line.startswith(b"content-length")
        )
        self.rfile.read(length)
        self.server.heads.append(head.decode())
        with suppress(OSError):  # the client may have read enough
            self.wfile.write(self.server.answer(head.decode()))


@pytest.fixture
def raw(monkeypatch: pytest.MonkeyPatch) -> Generator[Raw]:
    """``raw(answer)`` starts a RawServer for the length of a test."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KINOGRAD_JUDGE_KEY", KEY)
    servers: list[RawServer] = []

    def start(answer: Answer) -> RawServer:
        servers.append(RawServer(answer))
        threading.Thread(target=servers[-1].serve_forever, args=(0.01,), daemon=True).start()
        return servers[-1]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def ask(url: str, **config: Any) -> ChatCompletion | Failure:
    settings = {"max_retries": 0, "timeout_s": 20.0} | config
    judge = OpenAIJudge(urls=[url], model="m", **settings)

    async def run() -> ChatCompletion | Failure:
        transport = Transport(judge, Account(judge), backoff_s=0.0)
        try:
            message = {"role": "user", "content": "Say hello."}
            return await transport.complete({"messages": [message], "max_tokens": 5})
        finally:
            await transport.close()

    return asyncio.run(run())


def failed(outcome: ChatCompletion | Failure) -> Failure:
    assert isinstance(outcome, Failure), outcome
    assert outcome.reason is Unscored.JUDGE_UNAVAILABLE
    assert KEY not in outcome.detail
    return outcome


def text_of(outcome: ChatCompletion | Failure) -> str:
    assert isinstance(outcome, ChatCompletion), outcome
    return outcome.choices[0].text


# ------------------------------------------------------------------------ bodies


@pytest.mark.parametrize(
    "charset", ["undefined", "hex", "base64", "zlib", "idna", "rot13", "utf-32", "punycode"]
)
@pytest.mark.parametrize("status", ["200 OK", "500 Oops"])
def test_a_charset_that_is_none_is_ignored(raw: Raw, charset: str, status: str) -> None:
    header = f"content-type: application/json; charset={charset}"
    outcome = ask(raw(lambda _: http(completion("né"), status, header)).url)
    if status.startswith("200"):
        assert text_of(outcome) == "né"
    else:
        assert failed(outcome).status == 500


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[" * 3000,
        b'{"choices":' * 3000,
        completion("a\ud83d"),
        b"\xff\xfe" + completion(),
        completion()[:-1] + b"\x00",
        json.dumps({"choices": []}).encode(),
        completion(["a", "list"]),
        b'{"choices": [{"message": {"content": ' + b"9" * 5000 + b"}}]}",
    ],
)
def test_a_malformed_body_is_a_failure_worth_a_retry(raw: Raw, body: bytes) -> None:
    failure = failed(ask(raw(lambda _: http(body)).url))
    assert failure.retryable
    assert "malformed response" in failure.detail
    assert len(failure.detail) < 400


@pytest.mark.parametrize(
    "accompanying",
    [
        {"usage": {"prompt_tokens": int("9" * 400), "completion_tokens": 1}},
        {"usage": {"prompt_tokens": -5}},
        {"usage": "much"},
        {"model": ["m"]},
        {"choice": {"logprobs": {"content": "none"}}},
        {"choice": {"logprobs": {"content": [{"top_logprobs": [{"token": "a"}]}]}}},
        {"choice": {"finish_reason": 7}},
    ],
)
def test_what_accompanies_a_reply_does_not_cost_it(accompanying: dict[str, Any]) -> None:
    found = read_completion(completion("hello", **accompanying))
    assert text_of(found) == "hello"
    assert isinstance(found, ChatCompletion)
    assert found.prompt_tokens == 0


@pytest.mark.parametrize("logprob", [1000.0, 0.5, float("nan"), float("inf")])
def test_one_impossible_log_probability_discredits_all(logprob: float) -> None:
    tops = [{"token": "0", "logprob": -0.1}, {"token": "1", "logprob": logprob}]
    found = read_completion(
        completion("1", choice={"logprobs": {"content": [{"top_logprobs": tops}]}})
    )
    assert text_of(found) == "1"
    assert isinstance(found, ChatCompletion)
    assert found.choices[0].logprobs == {}


@pytest.mark.parametrize(
    "text",
    ["[" * 3000, '{"a":' * 3000, '{"a": "\\ud83d"}', "\ud83d", '{"a": NaN}', "7", "", "{"],
)
def test_json_inside_a_reply_is_read_without_trust(text: str) -> None:
    assert parse_json_object(text) is None


# --------------------------------------------------------------------- size, packing


def test_a_body_is_bounded_as_it_arrives(raw: Raw) -> None:
    huge = b" " * (MAX_REPLY_BYTES + 1) + completion()
    assert "longer than 16 MiB" in failed(ask(raw(lambda _: http(huge)).url)).detail
    almost = b" " * (MAX_REPLY_BYTES - 1000) + completion()
    assert text_of(ask(raw(lambda _: http(almost)).url)) == "hello"


@pytest.mark.parametrize("status", ["200 OK", "503 Busy"])
def test_a_packed_body_is_bounded_as_it_is_unpacked(raw: Raw, status: str) -> None:
    pack = zlib.compressobj(9, wbits=31)
    bomb = b"".join(pack.compress(bytes(1 << 20)) for _ in range(40)) + pack.flush()
    assert len(bomb) < 1 << 20
    server = raw(lambda _: http(bomb, status, "content-encoding: gzip"))
    assert "longer than 16 MiB" in failed(ask(server.url)).detail


def packed(data: bytes) -> bytes:
    # without a time, so that every process collects the same parameters
    return gzip.compress(data, mtime=0)


@pytest.mark.parametrize(
    ("encoding", "body", "why"),
    [
        ("gzip", b"no gzip at all", "damaged gzip"),
        ("gzip", packed(completion())[:-9], "incomplete gzip"),
        ("br", b"\x8b\x02\x80", "was not asked for"),
        ("gzip, gzip", packed(packed(completion())), "was not asked for"),
    ],
)
def test_a_packing_that_is_none_is_named(raw: Raw, encoding: str, body: bytes, why: str) -> None:
    server = raw(lambda _: http(body, "200 OK", f"content-encoding: {encoding}"))
    assert why in failed(ask(server.url)).detail


def test_an_honest_packing_is_unpacked(raw: Raw) -> None:
    for name, body in (
        ("gzip", packed(completion())),
        ("deflate", zlib.compress(completion())),
    ):
        server = raw(lambda _, n=name, b=body: http(b, "200 OK", f"content-encoding: {n}"))
        assert text_of(ask(server.url)) == "hello"


# ------------------------------------------------------------------ redirects, protocol


def test_a_redirect_to_another_host_is_not_followed(raw: Raw) -> None:
    thief = raw(lambda _: http(completion("thanks")))
    for status in ("301 Moved", "302 Found", "307 Temporary", "308 Permanent"):
        server = raw(lambda _, s=status: http(b"", s, f"location: {thief.url}/x?key={KEY}"))
        failure = failed(ask(server.url, max_retries=3))
        assert f"redirects to {thief.url}/x" in failure.detail
        assert len(server.heads) == 1
    assert thief.heads == []


def test_a_redirect_within_the_server_is_followed_but_not_for_ever(raw: Raw) -> None:
    def moved(head: str) -> bytes:
        if head.startswith("POST /v2"):
            return http(completion())
        return http(b"", "307 Temporary", "location: /v2/chat/completions")

    assert text_of(ask(raw(moved).url)) == "hello"
    server = raw(lambda _: http(b"", "308 Permanent", "location: /v1/chat/completions"))
    assert "redirects to" in failed(ask(server.url)).detail
    assert len(server.heads) == 4


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"hello\r\n\r\n",
        b"HTTP/9.9 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: minus\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"x: " + b"y" * 200_000 + b"\r\n\r\n",
        b"HTTP/1.1 307 T\r\ncontent-length: 0\r\nlocation: http://[::bad/\r\n\r\n",
        b"HTTP/1.1 307 T\r\ncontent-length: 0\r\nlocation: \xff\xfe://\r\n\r\n",
        b"HTTP/1.1 302 F\r\ncontent-length: 0\r\n\r\n",
    ],
)
def test_broken_http_is_a_failure(raw: Raw, answer: bytes) -> None:
    assert failed(ask(raw(lambda _: answer).url)).detail


@pytest.mark.parametrize("url", ["http://[::bad/v1", "nonsense", "ftp://127.0.0.1/v1"])
def test_an_address_that_is_none_is_named(url: str) -> None:
    with pytest.raises(UsageError, match="is no URL"):
        ask(url)


@pytest.mark.parametrize(
    "value", ["inf", "1e400", "nan", "-inf", "9" * 400, "Fri, 31 Dec 99999 23:59:59 GMT", "\x00"]
)
def test_a_wait_that_is_none_is_at_most_an_hour(value: str) -> None:
    for name in ("retry-after", "retry-after-ms"):
        assert 0.0 <= parse_retry_after({name: value}) <= 3600.0


# -------------------------------------------------------------------------- the key


def test_the_key_is_replaced_wherever_a_server_repeats_it(raw: Raw) -> None:
    echo = json.dumps({"error": {"message": f"not accepted: Bearer {KEY}"}}).encode()
    long = b"x" * 290 + KEY.encode() + b"y" * 300  # where the detail is cut off
    for status, body in (("401 No", echo), ("500 No", long), ("200 OK", b"x" * 110 + KEY.encode())):
        failure = failed(ask(raw(lambda _, s=status, b=body: http(b, s)).url))
        assert "sk-very" not in failure.detail
    reply = ask(raw(lambda _: http(completion(f"It is {KEY}.", model=KEY))).url)
    assert text_of(reply) == "It is [API key]."
    assert KEY not in repr(reply)
    escaped = completion("It is KEY.").replace(b"KEY", KEY.replace("s", "\\u0073", 1).encode())
    assert text_of(ask(raw(lambda _: http(escaped)).url)) == "It is [API key]."


def test_control_characters_of_a_server_are_not_printed(raw: Raw) -> None:
    failure = failed(ask(raw(lambda _: http(b"\x1b[31mred\x07\n\n", "400 Bad")).url))
    assert failure.detail.endswith("HTTP 400: [31mred")


def test_a_password_in_an_address_is_not_shown(raw: Raw) -> None:
    url = raw(lambda _: http(b"", "400 Bad")).url
    failure = failed(ask(url.replace("http://", "http://me:hunter2@") + "?key=hunter2"))
    assert "hunter2" not in failure.detail
    assert "127.0.0.1" in failure.detail


def test_a_key_that_no_header_can_hold_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KINOGRAD_JUDGE_KEY", "sk-ключ")
    with pytest.raises(UsageError, match=r"\$KINOGRAD_JUDGE_KEY"):
        ask("http://127.0.0.1:9/v1")


# ---------------------------------------------------------------------------- usage


def test_an_absurd_count_does_not_stop_the_rest(raw: Raw) -> None:
    """A server that counts two billion tokens must not make the rate limiter wait for years."""
    body = completion(usage={"prompt_tokens": 2**31 - 1, "completion_tokens": 0})
    config = TeacherConfig(
        urls=[raw(lambda _: http(body)).url], model="m", tokens_per_minute=1e7, max_tokens=10
    )

    async def two() -> list[Any]:
        async with Teacher(config) as teacher:
            return [await teacher.ask("?"), await teacher.ask("?")]

    async def bounded() -> list[Any]:
        return await asyncio.wait_for(two(), 10)

    assert asyncio.run(bounded()) == [["hello"], ["hello"]]
