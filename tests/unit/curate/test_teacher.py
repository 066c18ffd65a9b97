"""A teacher over real sockets: frames go out, replies come back, nothing is asked for nothing."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from kinograd.config.teacher import TeacherConfig
from kinograd.curate.journal import Journal
from kinograd.curate.teacher import ask_rows
from kinograd.endpoint.replies import Failure, read_completion
from kinograd.endpoint.teacher import Teacher
from kinograd.endpoint.transport import estimate_tokens
from kinograd.types import KinogradError, Unscored

Serve = Callable[..., Any]


def teacher(*servers: Any, **config: Any) -> Teacher:
    settings: dict[str, Any] = {"model": "m", "timeout_s": 5.0, "max_retries": 2} | config
    urls = [getattr(server, "url", server) for server in servers]
    return Teacher(TeacherConfig(urls=urls, **settings), backoff_s=0.005)


def ask(one: Teacher, *args: Any, **kwargs: Any) -> list[str] | Failure:
    async def asked() -> list[str] | Failure:
        async with one:
            return await one.ask(*args, **kwargs)

    return asyncio.run(asked())


def test_frames_travel_as_jpeg_before_the_prompt(serve: Serve) -> None:
    server = serve(lambda body: "A red thing.")
    frames = np.zeros((2, 3, 28, 56), np.uint8)
    frames[:, 0] = 200
    assert ask(teacher(server), "What is it?", frames) == ["A red thing."]
    (body,) = server.bodies
    assert (body["temperature"], body["top_p"], body["max_tokens"]) == (1.0, 0.95, 512)
    *images, text = body["messages"][0]["content"]
    assert text == {"type": "text", "text": "What is it?"}
    assert len(images) == 2
    head, data = images[0]["image_url"]["url"].split(",")
    assert head == "data:image/jpeg;base64"
    with Image.open(io.BytesIO(base64.b64decode(data))) as image:
        assert image.size == (56, 28)
        red, green, _ = np.asarray(image).reshape(-1, 3).mean(0)
    assert red > 190
    assert green < 10


def test_a_server_that_gives_one_choice_at_a_time_is_asked_until_there_are_n(serve: Serve) -> None:
    server = serve(lambda body: f"{body.get('n', 1)} to go")
    assert ask(teacher(server), "?", n=3) == ["3 to go", "2 to go", "1 to go"]


def test_a_response_with_several_choices_is_read_whole() -> None:
    choices = [
        {"message": {"content": text}, "finish_reason": why}
        for text, why in (("a", "stop"), ("b", "length"), (None, "stop"))
    ]
    found = read_completion(json.dumps({"choices": choices}).encode())
    assert not isinstance(found, Failure)
    assert [(c.text, c.finish) for c in found.choices] == [
        ("a", "stop"), ("b", "length"), ("", "stop"),
    ]  # fmt: skip


def test_a_reply_that_was_cut_off_is_no_reply(serve: Serve) -> None:
    server = serve(lambda body: "and then, and then,")
    server.finish = "length"
    found = ask(teacher(server), "?")
    assert isinstance(found, Failure)
    assert found.reason is Unscored.TRUNCATED


def test_images_count_as_images_not_as_letters() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:" + "A" * 90_000}}
    content = [image, image, {"type": "text", "text": "x" * 30}]
    body = {"messages": [{"role": "user", "content": content}], "max_tokens": 5, "n": 4}
    assert estimate_tokens(body) == 2 * 400 + 10 + 20
    plain = {"messages": [{"role": "user", "content": "x" * 30}], "max_tokens": 5}
    assert estimate_tokens(plain) == 15


# ---------------------------------------------------------------------- many rows


def rows(one: Teacher, journal: Path, names: list[str]) -> dict[str, Any]:
    async def ask_one(name: str) -> dict[str, Any] | Failure:
        replies = await one.ask(name)
        return replies if isinstance(replies, Failure) else {"reply": replies[0]}

    with Journal(journal, "d") as kept:
        return ask_rows(one, names, ask_one, kept, str, total=len(names))


def question(body: dict[str, Any]) -> str:
    return body["messages"][0]["content"][-1]["text"]


NAMES = [f"q{i}" for i in range(24)]


def test_faults_of_every_sort_cost_retries_only(serve: Serve, tmp_path: Path) -> None:
    servers = [
        serve(question, fault_rate=0.4, seed=i, faults=("429", "503", "close", "garbage"))
        for i in range(2)
    ]
    one = teacher(*servers, max_retries=12, max_concurrency=4, price_in=2.0, price_out=10.0)
    assert rows(one, tmp_path / "j", NAMES) == {}
    with Journal(tmp_path / "j", "d") as journal:
        assert [journal.done(n) for n in NAMES] == [{"reply": n} for n in NAMES]
    assert sum(s.after_success for s in servers) == 0
    assert max(s.busiest for s in servers) <= 4
    assert one.usage.completion_tokens == len(NAMES)
    assert one.cost == pytest.approx(len(NAMES) * (100 * 2.0 + 10.0) / 1e6)


def test_a_teacher_that_hangs_or_trickles_is_left_for_another(serve: Serve, tmp_path: Path) -> None:
    slow = serve(question, fault_rate=1.0, faults=("hang", "slow"))
    one = teacher(slow, serve(question), timeout_s=1.0, max_concurrency=4)
    assert rows(one, tmp_path / "j", NAMES[:6]) == {}


def test_a_failed_row_is_asked_again_and_no_other(serve: Serve, tmp_path: Path) -> None:
    server = serve(question)
    bad = serve(question, fault_rate=1.0, faults=("503",))
    failed = rows(teacher(bad, give_up_after=99), tmp_path / "j", NAMES[:3])
    assert sorted(failed) == NAMES[:3]
    assert failed["q0"].status == 503
    assert rows(teacher(server), tmp_path / "j", NAMES[:2]) == {}
    assert rows(teacher(server), tmp_path / "j", NAMES) == {}
    assert sorted(map(question, server.bodies)) == sorted(NAMES)


def test_a_teacher_that_is_down_stops_the_command_early(tmp_path: Path) -> None:
    one = teacher("http://127.0.0.1:9/v1", max_retries=0, give_up_after=5, max_concurrency=1)
    with pytest.raises(KinogradError, match="the teacher does not answer") as error:
        rows(one, tmp_path / "j", [f"q{i}" for i in range(500)])
    assert str(tmp_path / "j") in str(error.value)
    assert one.usage.failed < 50


def test_a_wrong_key_stops_it_at_once(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(question, key="right")
    with pytest.raises(KinogradError, match="KINOGRAD_TEACHER_KEY"):
        rows(teacher(server, max_concurrency=1), tmp_path / "j", NAMES)
    monkeypatch.setenv("KINOGRAD_TEACHER_KEY", "right")
    assert rows(teacher(server), tmp_path / "j", NAMES) == {}
