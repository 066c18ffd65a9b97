"""The reply cache: what is a hit, several processes, damage."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kinograd.endpoint.replies import Choice
from kinograd.endpoint.reply_cache import ReplyCache, cache_key
from kinograd.types import JudgeRequest, Kind, KinogradError, Unscored

Build = Callable[..., Any]
REQUESTS = [JudgeRequest(Kind.DARK_EVENT, "q", "The cook stirs.", f"answer {i}") for i in range(6)]


def says(body: dict[str, Any]) -> str:
    labels = body["structured_outputs"]["choice"]
    return labels[len(str(body["messages"])) % len(labels)]


def test_a_later_run_asks_nothing_again(serve: Build, model_judge: Build, tmp_path: Path) -> None:
    server, cache = serve(says), str(tmp_path / "new" / "verdicts.sqlite")
    first = asyncio.run(model_judge(server, cache=cache).judge(REQUESTS))
    asked = len(server.bodies)
    later = model_judge(server, cache=cache)
    assert asyncio.run(later.judge(REQUESTS)) == first
    assert len(server.bodies) == asked + 1  # the probe
    assert later.metrics()["reused"] == len(REQUESTS)


@pytest.mark.parametrize(
    "change",
    [{"model": "other"}, {"prompts": "published"}, {"verdict": "regex"}, {"expected_score": True}],
)
def test_whatever_decides_a_reply_is_part_of_its_key(
    serve: Build, model_judge: Build, tmp_path: Path, change: dict[str, Any]
) -> None:
    def reply(body: dict[str, Any]) -> str:
        outputs = body["structured_outputs"]
        return "kinograd-accepts" if "accepts" in str(outputs) else "0"

    server, cache = serve(reply), str(tmp_path / "verdicts.sqlite")
    asyncio.run(model_judge(server, cache=cache).judge(REQUESTS[:1]))
    asked = len(server.bodies)
    asyncio.run(model_judge(server, cache=cache, **change).judge(REQUESTS[:1]))
    assert len(server.bodies) == asked + 2


def test_failures_are_not_kept(serve: Build, model_judge: Build, tmp_path: Path) -> None:
    server = serve(says)
    judge = model_judge(server, cache=str(tmp_path / "verdicts.sqlite"), max_retries=1)
    asyncio.run(judge.judge(REQUESTS[:1]))
    server.fault_rate, server.faults = 1.0, ("drivel",)
    (failed,) = asyncio.run(judge.judge(REQUESTS[1:2]))
    assert failed.unscored is Unscored.JUDGE_UNPARSABLE
    server.fault_rate = 0.0
    (mended,) = asyncio.run(judge.judge(REQUESTS[1:2]))
    assert mended.unscored is None


def test_the_first_reply_under_a_key_stays() -> None:
    cache = ReplyCache(None)
    cache.put("k", "m", "p", Choice("0", logprobs={"0": -0.1}))
    cache.put("k", "m", "p", Choice("1"))
    assert cache.get("k") == Choice("0", logprobs={"0": -0.1})
    assert cache.get("other") is None


def test_keys_differ_in_every_part_and_survive_a_restart() -> None:
    base = ("m", "default/answer@1", {"temperature": 0.0}, [{"role": "user", "content": "x"}])
    variants = [base, ("n", *base[1:]), (base[0], "p@2", *base[2:]), (*base[:2], {}, base[3])]
    variants.append((*base[:3], [{"role": "user", "content": "\ud800"}]))
    assert len({cache_key(*v) for v in variants}) == len(variants)


WRITER = """
import sys
from kinograd.endpoint.replies import Choice
from kinograd.endpoint.reply_cache import ReplyCache
cache = ReplyCache(sys.argv[1])
for i in range(150):
    cache.put(f"shared-{i}", "m", "p", Choice("0"))
    cache.put(f"own-{sys.argv[2]}-{i}", "m", "p", Choice(sys.argv[2]))
    assert cache.get(f"shared-{i}") is not None
"""


def test_several_processes_write_one_file(tmp_path: Path) -> None:
    path = str(tmp_path / "verdicts.sqlite")
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, path, str(n)], stderr=subprocess.PIPE)
        for n in range(2)
    ]
    for writer in writers:
        _, errors = writer.communicate(timeout=120)
        assert writer.returncode == 0, errors.decode()
    with sqlite3.connect(path) as database:
        assert database.execute("SELECT COUNT(*) FROM replies").fetchone() == (150 * 3,)


def test_a_file_that_is_no_cache_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "verdicts.sqlite"
    broken.write_text("these are not the verdicts you are looking for" * 100)
    with pytest.raises(KinogradError, match=r"judge cache .*verdicts\.sqlite.*delete the file"):
        ReplyCache(str(broken))
    (tmp_path / "file").write_text("")
    with pytest.raises(KinogradError, match="judge cache"):
        ReplyCache(str(tmp_path / "file" / "verdicts.sqlite"))
