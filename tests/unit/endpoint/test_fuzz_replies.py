"""Mutated replies: whatever arrives is a completion or a failure, and its text can be kept."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator

import numpy as np
import pytest

from kinograd.endpoint.forms import EventList, Form, LabelPerItem, Mode, OneLabel
from kinograd.endpoint.replies import ChatCompletion, Failure, read_completion
from kinograd.judge.model_judge import expected_value
from kinograd.keys import generator
from kinograd.proxy.teacher_tools import read_json

GRADES = {"0": 0.0, "1": 1.0, "2": 2.0}
FORMS: tuple[Form, ...] = (
    OneLabel(tuple(GRADES)),
    LabelPerItem(3, ("entailment", "neutral", "contradiction")),
    EventList(10),
)
TEXTS = (
    "2",
    "So it is.\n1",
    '{"verdict": "1"}',
    '{"1": "entailment", "2": "neutral", "3": "contradiction"}',
    "1: entailment\n2: neutral\n3: neutral",
    '{"events": ["a man walks", "a dog barks"]}',
    "- a man walks\n- a dog barks",
    '```json\n{"question": "Who?", "answer": "the man"}\n```',
)
PIECES = (
    b"\\ud83d",  # half of a surrogate pair
    b"\\u0000",
    b"\xff",
    b"\xed\xa0\xbd",
    "\u202e½".encode(),
    b"[" * 400,
    b"9" * 400,
    b"1e999",
    b"NaN",
    b"-Infinity",
    b"null",
    b'"',
    b"{",
    b"}",
    b",",
    b":",
    b"\x00",
    b"",
)


def honest(text: str) -> bytes:
    tops = [{"token": label, "logprob": -1.0} for label in GRADES]
    choice = {
        "message": {"role": "assistant", "content": text},
        "finish_reason": "stop",
        "logprobs": {"content": [{"top_logprobs": tops}]},
    }
    usage = {"prompt_tokens": 100, "completion_tokens": 1}
    return json.dumps({"model": "m", "choices": [choice, choice], "usage": usage}).encode()


def mutate(body: bytes, rng: np.random.Generator) -> bytes:
    """Cut, swap, repeat or insert at random places."""
    for _ in range(int(rng.integers(1, 5))):
        a, b = sorted(int(i) for i in rng.integers(0, len(body) + 1, 2))
        piece = PIECES[int(rng.integers(len(PIECES)))]
        match int(rng.integers(4)):
            case 0:
                body = body[:a] + piece + body[min(b, a + 8) :]
            case 1:
                body = body[:a] + piece + body[a:]
            case 2:
                body = body[:b] + body[a:]
            case _:
                body = body[:a]
    return body


def bodies(count: int) -> Iterator[bytes]:
    for i in range(count):
        rng = generator("fuzz replies", i)
        text = TEXTS[int(rng.integers(len(TEXTS)))]
        if rng.random() < 0.5:
            yield mutate(honest(text), rng)
        else:  # an honest body around a mutated text
            yield honest(mutate(text.encode(), rng).decode("utf-8", "replace"))


def parse_everything(text: str) -> None:
    read_json(text)
    for form in FORMS:
        for mode in Mode:
            value = form.parse(text, mode)
            json.dumps(value, ensure_ascii=False).encode()  # what a cache or journal does


@pytest.mark.parametrize("part", range(2))
def test_no_reply_is_a_traceback(part: int) -> None:
    completions = 0
    for body in list(bodies(2000))[part::2]:
        found = read_completion(body)
        if isinstance(found, Failure):
            found.detail.encode()
            continue
        completions += 1
        assert isinstance(found, ChatCompletion)
        assert 0 <= found.prompt_tokens <= 2**31
        for choice in found.choices:
            choice.text.encode()
            parse_everything(choice.text)
            expected = expected_value(GRADES, choice.logprobs)
            assert expected is None or math.isfinite(expected[0])
    assert completions > 300
