"""Values between processes: what travels arrives, what may not is refused."""

from __future__ import annotations

import json
import math
import socket
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from kinograd.config.video import VideoConfig
from kinograd.types import Black, Cut, Example, Kind, Media, MediaType, Span
from kinograd.workers.wire import Channel, dump, load

MEDIA = Media(MediaType.VIDEO, Cut((Span("a.mp4", 0.5, None), Black(2.0))))
EXAMPLE = Example("é", Kind.OCR, "q\ud800", "a", (MEDIA,), ("x",), extra={"$": [1, {"b": None}]})


def there_and_back(value, *, trusted: bool = False):
    return load([bytearray(part) for part in dump(value)], trusted)


@pytest.mark.parametrize(
    "value",
    [
        None, True, 3, 2**70, "text", [1, [2.5]], (1, ("a", None)), {"a": (1,)}, {1: 2, "$": 3},
        b"", b"bytes", Path("a/b"), Kind.OCR, MEDIA, EXAMPLE, [EXAMPLE, (b"x", b"y")],
        math.inf, -0.0,
    ],
)  # fmt: skip
def test_values_arrive_as_they_were(value) -> None:
    found = there_and_back(value)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(24, dtype=np.uint8).reshape(2, 3, 4).transpose(2, 0, 1),
        np.zeros((0, 3)),
        np.array(2.5),
        np.array(["é", "xyz"]),
        np.array([True, False]),
    ],
)
def test_arrays_arrive_as_they_were(array: np.ndarray) -> None:
    found = there_and_back({"x": [array]})["x"][0]
    assert found.dtype == array.dtype
    assert found.shape == array.shape
    assert np.array_equal(found, array)


def test_functions_and_sections_travel_to_workers() -> None:
    config = VideoConfig(nframes=8, fps=None)
    made = there_and_back(partial(partial, math.pow, 2, config), trusted=True)
    assert made.func is partial
    assert made.args == (math.pow, 2, config)


@pytest.mark.parametrize("value", [object(), {1, 2}, lambda: 0, EXAMPLE.__eq__, np.array([None])])
def test_other_things_are_refused_where_they_leave(value) -> None:
    with pytest.raises(TypeError, match="cannot travel"):
        dump(value)


@pytest.mark.parametrize(
    "form",
    [
        {"$": "name", "name": "os:system"},
        {
            "$": "partial",
            "function": {"$": "name", "name": "os:system"},
            "args": [],
            "keywords": {},
        },
        {"$": "data", "type": "subprocess:Popen", "fields": {"args": "true"}},
        {"$": "data", "type": "kinograd.workers.wire:Channel", "fields": {"end": 1}},
        {"$": "data", "type": "kinograd.workers.wire:os.system", "fields": {}},
        {"$": "data", "type": "kinograd.types:Span", "fields": {"bogus": 1}},
        {"$": "data", "type": "kinograd.nothing:X", "fields": {}},
        {"$": "enum", "type": "kinograd.types:Kind", "value": "none such"},
        {"$": "bytes", "at": 7},
        {"$": "array", "at": 0, "dtype": "O", "shape": [1]},
        {"$": "unknown"},
    ],
)
def test_a_worker_cannot_make_its_parent_run_anything(form) -> None:
    with pytest.raises(ValueError, match="not"):
        load([bytearray(json.dumps(form).encode()), bytearray(8)])


def test_bytes_that_are_no_message_are_an_error_in_time() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"\x01\0\0\0\x05\0\0\0\0\0\0\0{{{{{")
        with pytest.raises(ValueError, match="JSON|Expecting"):
            Channel(ours).receive(5.0)
        theirs.sendall(b"\x01\0")
        with pytest.raises(TimeoutError):
            Channel(ours).receive(0.1)
