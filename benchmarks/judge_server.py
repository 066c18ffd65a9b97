"""An OpenAI-compatible chat server that fails on purpose: real sockets, keyed faults.

``benchmarks/judge_client.py`` measures against it and the judge's tests run against it. It
answers like a well-behaved model (``reply``), except for a share of requests, drawn from
the seed, the request and how often it has come: those get one of FAULTS.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import sys
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from kinograd.keys import generator

FAULTS = ("429", "503", "hang", "close", "close_midway", "garbage", "no_choices", "drivel", "slow")
"""Too many requests with retry-after; unavailable; silence; connection closed before or within
the response; a body that is no JSON; JSON without choices; a reply that is no verdict; a body
that trickles for ever."""

CONSTRAINTS = frozenset({"choice", "regex", "json_schema"})
Reply = Callable[[dict[str, Any]], str]


def allowed_labels(request: dict[str, Any]) -> list[str] | None:
    """The labels that a request's ``choice`` constraint allows."""
    return request.get("structured_outputs", {}).get("choice")


def first_label(request: dict[str, Any]) -> str:
    """A model that always says the first label it may, or hello."""
    return (allowed_labels(request) or ["Hello."])[0]


class JudgeServer:
    """A server on a free local port, in a thread of its own; a context manager.

    Args:
        reply: request body to the text of the reply.
        fault_rate: share of requests that fail.
        faults: which of FAULTS occur.
        latency_s: time that each reply takes.
        honours: kinds of constraint it knows; others are ignored, or refused with 400 when
            ``refuses``.
        key: what clients must send as bearer token; None accepts all.
        model: name that it gives its model; None gives none.
    """

    def __init__(
        self,
        reply: Reply = first_label,
        *,
        fault_rate: float = 0.0,
        faults: Sequence[str] = FAULTS,
        seed: int = 0,
        latency_s: float = 0.0,
        honours: frozenset[str] = CONSTRAINTS,
        refuses: bool = False,
        logprobs: bool = True,
        key: str | None = None,
        model: str | None = None,
    ) -> None:
        self.reply, self.fault_rate, self.faults, self.seed = reply, fault_rate, faults, seed
        self.latency_s, self.honours, self.refuses = latency_s, honours, refuses
        self.logprobs, self.key, self.model = logprobs, key, model
        self.finish, self.retry_after_ms = "stop", 20
        self.arrivals: Counter[str] = Counter()
        self.successes: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.after_success = 0
        self.bodies: list[dict[str, Any]] = []
        self.busy = self.busiest = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> JudgeServer:
        self._thread.start()
        start = asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._server = asyncio.run_coroutine_threadsafe(start, self._loop).result()
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def _stop(self) -> None:
        self._server.close()
        own = asyncio.current_task()
        tasks = [task for task in asyncio.all_tasks() if task is not own]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # -------------------------------------------------------------------- HTTP

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (request := await self._read(reader)) is not None:
                if not await self._answer(*request, reader, writer):
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client went away, which is its right
        finally:
            writer.close()

    async def _read(self, reader: asyncio.StreamReader) -> tuple[dict[str, str], bytes] | None:
        head = await reader.readuntil(b"\r\n\r\n") if not reader.at_eof() else b""
        if not head:
            return None
        lines = head.decode("latin-1").split("\r\n")[1:]
        headers = {k.strip().lower(): v.strip() for k, _, v in (x.partition(":") for x in lines)}
        return headers, await reader.readexactly(int(headers.get("content-length", 0)))

    async def _send(
        self, writer: asyncio.StreamWriter, status: str, body: str, headers: str = ""
    ) -> None:
        data = body.encode()
        head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\n{headers}"
        writer.write(f"{head}content-length: {len(data)}\r\n\r\n".encode() + data)
        await writer.drain()

    # ----------------------------------------------------------------- answering

    async def _answer(
        self,
        headers: dict[str, str],
        data: bytes,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> bool:
        """Answer one request; False when the connection is to be closed."""
        if self.key is not None and headers.get("authorization") != f"Bearer {self.key}":
            await self._send(writer, "401 Unauthorized", '{"error": {"message": "wrong key"}}')
            return True
        body = json.loads(data)
        if self.refuses and (unknown := self._constraint(body) - self.honours):
            self.outcomes["refused"] += 1
            message = json.dumps({"error": {"message": f"unknown field {sorted(unknown)}"}})
            await self._send(writer, "400 Bad Request", message)
            return True
        request = hashlib.sha256(data).hexdigest()
        self.after_success += bool(self.successes[request])
        draw = generator(self.seed, request, self.arrivals[request])
        self.arrivals[request] += 1
        self.bodies.append(body)
        self.busy += 1
        self.busiest = max(self.busiest, self.busy)
        await asyncio.sleep(self.latency_s)
        self.busy -= 1  # before the first byte goes out, upon which the client may send more
        if draw.random() < self.fault_rate:
            fault = self.faults[draw.integers(len(self.faults))]
            self.outcomes[fault] += 1
            return await self._fail(fault, body, reader, writer)
        completion = self._completion(body, self.reply(self._known(body)))
        self.outcomes["ok"] += 1  # counted before the client can look
        self.successes[request] += 1
        await self._send(writer, "200 OK", completion)
        return True

    @staticmethod
    def _constraint(body: dict[str, Any]) -> set[str]:
        return {*body.get("structured_outputs", {})} | (
            {"json_schema"} if "response_format" in body else set()
        )

    def _known(self, body: dict[str, Any]) -> dict[str, Any]:
        """The request without the constraints that this server ignores."""
        asked = body.get("structured_outputs", {})
        known = body | {"structured_outputs": {k: v for k, v in asked.items() if k in self.honours}}
        if "json_schema" not in self.honours:
            known.pop("response_format", None)
        return known

    def _completion(self, body: dict[str, Any], text: str) -> str:
        choice: dict[str, Any] = {"message": {"content": text}, "finish_reason": self.finish}
        if body.get("logprobs") and self.logprobs:
            labels = allowed_labels(body) or [text]
            # The chosen label gets half, the others share the rest.
            rest = 0.5 / max(1, len(labels) - 1)
            tops = [
                {"token": label, "logprob": math.log(0.5 if label == text else rest)}
                for label in labels
            ]
            choice["logprobs"] = {"content": [{"top_logprobs": tops}]}
        usage = {"prompt_tokens": 100, "completion_tokens": 1}
        named = {"model": self.model} if self.model else {}
        return json.dumps({"choices": [choice], "usage": usage, **named})

    async def _fail(
        self,
        fault: str,
        body: dict[str, Any],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> bool:
        match fault:
            case "429":
                wait = f"retry-after-ms: {self.retry_after_ms}\r\n"
                await self._send(writer, "429 Too Many Requests", "{}", wait)
            case "503":
                await self._send(writer, "503 Service Unavailable", "down for a moment")
            case "garbage":
                await self._send(writer, "200 OK", "<html>a proxy's opinion</html>")
            case "no_choices":
                await self._send(writer, "200 OK", '{"choices": [], "usage": null}')
            case "drivel":
                await self._send(writer, "200 OK", self._completion(body, "Score: 1 of 2, I think"))
            case "hang":
                await reader.read()  # until the client gives up
                return False
            case "close":
                return False
            case "close_midway":
                writer.write(b'HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{"choices": [{')
                await writer.drain()
                return False
            case "slow":
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
                while not writer.is_closing():
                    writer.write(b" ")
                    await writer.drain()
                    await asyncio.sleep(0.01)
                return False
        return True


def main() -> None:
    """Serve until terminated, with options given as JSON; print the port."""
    with JudgeServer(**json.loads(sys.argv[1])) as server:
        print(server.port, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
