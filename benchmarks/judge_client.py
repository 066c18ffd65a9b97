"""The judge client: what gets through a hostile server, and how fast a good one is used.

Run ``python benchmarks/judge_client.py`` (writes ``benchmarks/results/judge_client.json``).
The server is a process of its own. Its limit is measured, not assumed: bare sockets that
send prepared bytes, as many at a time as the client may.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kinograd.config.schema import OpenAIJudge
from kinograd.judge.model_judge import ModelJudge
from kinograd.types import JudgeRequest, Kind

HERE = Path(__file__).resolve().parent
CONCURRENCY = 64


def requests(n: int) -> list[JudgeRequest]:
    """Requests of a realistic length, all different."""
    answer = "The cook turns the fish over and puts herbs on it while the oil is hot. "
    return [
        JudgeRequest(Kind.DARK_EVENT, "What happened?", "season the fish", answer * 3 + str(i))
        for i in range(n)
    ]


@contextmanager
def server(**options: Any) -> Generator[int]:
    """The port of a ``JudgeServer`` with these options, in another process."""
    command = [sys.executable, str(HERE / "judge_server.py"), json.dumps(options)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.terminate()


async def bare(port: int, n: int) -> float:
    """Requests per second that the server answers to 64 bare keep-alive sockets."""
    body = json.dumps(
        {
            "model": "m",
            "messages": [{"role": "user", "content": "x" * 1500}],
            "structured_outputs": {"choice": ["0", "1", "2"]},
        }
    )
    left = iter(range(n))

    async def worker() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for i in left:
            data = body.replace("xxxx", f"{i:4}", 1).encode()
            head = f"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: {len(data)}\r\n\r\n"
            writer.write(head.encode() + data)
            response = await reader.readuntil(b"\r\n\r\n")
            length = response.lower().split(b"content-length:")[1].split(b"\r\n")[0]
            await reader.readexactly(int(length))
        writer.close()

    started = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(CONCURRENCY)))
    return n / (time.perf_counter() - started)


def throughput(latency_s: float, seconds: float, repeats: int) -> dict[str, Any]:
    """Verdicts per second at 64 concurrent requests beside the server's own limit.

    The best of several measurements of each, taken in turn: what disturbs from outside only
    ever slows down. All of them are kept.
    """
    n = int(CONCURRENCY / latency_s * seconds)
    limits, rates, cpu_ms = [], [], []
    for _ in range(repeats):
        with server(latency_s=latency_s) as port:
            limits.append(asyncio.run(bare(port, n)))
            config = OpenAIJudge(
                urls=[f"http://127.0.0.1:{port}/v1"],
                model="m",
                verdict="choice",
                max_concurrency=CONCURRENCY,
            )
            judge = ModelJudge("big", config)
            asyncio.run(judge.judge(requests(1)))  # the start: import of the SDK, probe
            started, cpu = time.perf_counter(), time.process_time()
            verdicts = asyncio.run(judge.judge(requests(n + 1)[1:]))
            rates.append(n / (time.perf_counter() - started))
            cpu_ms.append(1e3 * (time.process_time() - cpu) / n)
        assert all(v.unscored is None for v in verdicts)
    return {
        "latency_s": latency_s,
        "requests": n,
        "server_limit_per_s": [round(limit, 1) for limit in limits],
        "verdicts_per_s": [round(rate, 1) for rate in rates],
        "best_share_of_limit": round(max(rates) / max(limits), 3),
        "client_cpu_ms_per_verdict": [round(ms, 2) for ms in cpu_ms],
    }


def faults(n: int, fault_rate: float) -> dict[str, Any]:
    """What becomes of n requests when the server fails at a rate, in every way it can."""
    with server(latency_s=0.05, fault_rate=fault_rate) as port:
        config = OpenAIJudge(
            urls=[f"http://127.0.0.1:{port}/v1"],
            model="m",
            verdict="choice",
            max_concurrency=CONCURRENCY,
            timeout_s=2.0,
            deadline_s=60.0,
        )
        judge = ModelJudge("big", config)
        started = time.perf_counter()
        verdicts = asyncio.run(judge.judge(requests(n)))
        seconds = time.perf_counter() - started
    unscored = [v for v in verdicts if v.unscored]
    return {
        "fault_rate": fault_rate,
        "requests": n,
        "unscored": len(unscored),
        "unscored_share": round(len(unscored) / n, 5),
        "seconds": round(seconds, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="length of each measurement")
    parser.add_argument("--repeats", type=int, default=3, help="measurements of each figure")
    parser.add_argument("--requests", type=int, default=2000, help="requests under faults")
    parser.add_argument("--out", default=str(HERE / "results" / "judge_client.json"))
    arguments = parser.parse_args()
    result = {
        "machine": {
            "python": platform.python_version(),
            "processor": platform.machine(),
            "cores": os.cpu_count(),
            "load_before": round(os.getloadavg()[0], 1),
            "niceness": os.nice(0),
        },
        "concurrency": CONCURRENCY,
        "throughput": [
            throughput(s, arguments.seconds, arguments.repeats) for s in (1.0, 0.5, 0.25)
        ],
        "faults": [faults(arguments.requests, rate) for rate in (0.0, 0.1, 0.3)],
    }
    text = json.dumps(result, indent=1)
    Path(arguments.out).parent.mkdir(parents=True, exist_ok=True)
    Path(arguments.out).write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
