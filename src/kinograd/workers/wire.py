"""Values between a process and its workers: JSON with tags, and raw buffers. Never pickle.

A worker runs codecs on files from anywhere, so what it sends is not trusted: it can make the
reader build plain values, arrays, and dataclasses and enums of this package, and nothing
else. In the other direction functions and classes travel too, by name.
"""

from __future__ import annotations

import json
import socket
import struct
import time
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

_TAG = "$"
_SEPARATOR = ":"  # between module and name


class Channel:
    """One end of a socket over which values travel, each within a time limit.

    A limit of None waits for ever.
    """

    def __init__(self, end: socket.socket) -> None:
        self._socket = end

    def send(self, value: Any, timeout_s: float | None = None) -> None:
        """Send one value.

        Raises:
            TimeoutError: the reader did not take all of it in time.
            OSError: the other end is gone.
            TypeError: the value, or a part of it, has a type that does not travel.
        """
        parts = dump(value)
        head = struct.pack(f"<I{len(parts)}Q", len(parts), *map(len, parts))
        deadline = _Deadline(timeout_s)
        for data in (head + parts[0], *parts[1:]):
            self._socket.settimeout(deadline.left())
            self._socket.sendall(data)

    def receive(self, timeout_s: float | None = None, *, trusted: bool = False) -> Any:
        """Receive one value.

        Args:
            trusted: accept functions and classes; see ``load``.

        Raises:
            TimeoutError: the value was not there, to its last byte, in time.
            EOFError: the other end is gone.
            ValueError: the bytes are not a value.
        """
        deadline = _Deadline(timeout_s)
        (count,) = struct.unpack("<I", self._exactly(4, deadline))
        sizes = struct.unpack(f"<{count}Q", self._exactly(8 * count, deadline))
        return load([self._exactly(size, deadline) for size in sizes], trusted)

    def _exactly(self, size: int, deadline: _Deadline) -> bytearray:
        data = bytearray(size)
        view = memoryview(data)
        while view:
            self._socket.settimeout(deadline.left())
            if not (got := self._socket.recv_into(view)):
                raise EOFError
            view = view[got:]
        return data

    def close(self) -> None:
        """Close this end."""
        self._socket.close()


class _Deadline:
    def __init__(self, timeout_s: float | None) -> None:
        self._at = None if timeout_s is None else time.monotonic() + timeout_s

    def left(self) -> float | None:
        """Return the seconds left; raise TimeoutError if there are none."""
        if self._at is None:
            return None
        if (left := self._at - time.monotonic()) <= 0:
            raise TimeoutError
        return left


# ------------------------------------------------------------------------ codec


def dump(value: Any) -> list[bytes | memoryview]:
    """Return the JSON text of ``value`` followed by the buffers that it refers to.

    Raises:
        TypeError: the value, or a part of it, has a type that does not travel.
    """
    buffers: list[bytes | memoryview] = []
    text = json.dumps(_plain(value, buffers))
    return [text.encode(), *buffers]


def load(parts: list[bytearray], trusted: bool = False) -> Any:
    """Return the value that ``dump`` was given. Arrays share memory with ``parts``.

    Args:
        trusted: accept functions and classes of any module; else only dataclasses and enums of
            this package.

    Raises:
        ValueError: the bytes are not a value, or hold what is not accepted.
    """
    try:
        return _Loader(parts[1:], trusted).value(json.loads(parts[0]))
    except (LookupError, TypeError, AttributeError, ImportError, RecursionError) as error:
        raise ValueError(f"not a value: {error}") from None


def _plain(value: Any, buffers: list[bytes | memoryview]) -> Any:
    """Return the JSON form of ``value``; append its buffers to ``buffers``."""

    def plain(part: Any) -> Any:
        return _plain(part, buffers)

    def tagged(tag: str, **content: Any) -> dict[str, Any]:
        return {_TAG: tag, **content}

    if isinstance(value, Enum):  # before str and int, which it may be as well
        return tagged("enum", type=_name(type(value)), value=value.value)
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, list):
        return [plain(part) for part in value]
    if isinstance(value, tuple):
        return tagged("tuple", items=[plain(part) for part in value])
    if isinstance(value, dict):
        if _TAG not in value and all(type(key) is str for key in value):
            return {key: plain(part) for key, part in value.items()}
        return tagged("dict", items=[[plain(k), plain(v)] for k, v in value.items()])
    if isinstance(value, bytes | bytearray):
        buffers.append(bytes(value))
        return tagged("bytes", at=len(buffers) - 1)
    if hasattr(value, "__array_interface__"):
        return tagged("array", **_array(value, buffers))
    if isinstance(value, Path):
        return tagged("path", path=str(value))
    if isinstance(value, partial):
        given = {"args": [plain(a) for a in value.args], "keywords": plain(value.keywords)}
        return tagged("partial", function=plain(value.func), **given)
    if hasattr(value, "__qualname__"):
        return tagged("name", name=_name(value))
    if is_dataclass(value):
        content = {f.name: plain(getattr(value, f.name)) for f in fields(value) if f.init}
        return tagged("data", type=_name(type(value)), fields=content)
    if hasattr(value, "model_dump"):  # a section of a recipe
        return tagged("data", type=_name(type(value)), fields=plain(value.model_dump()))
    raise TypeError(f"a {type(value).__name__} cannot travel between processes")


def _array(value: Any, buffers: list[bytes | memoryview]) -> dict[str, Any]:
    import numpy as np

    array = np.ascontiguousarray(value)
    if array.dtype.hasobject:
        raise TypeError("an array of objects cannot travel between processes")
    # an empty array has no memory to view
    buffers.append(array.reshape(-1).view(np.uint8).data if array.size else b"")
    return {"at": len(buffers) - 1, "dtype": array.dtype.str, "shape": list(value.shape)}


def _name(thing: Any) -> str:
    module, path = getattr(thing, "__module__", None), thing.__qualname__
    try:
        if _find(module or "builtins", path) is thing:
            return f"{module}{_SEPARATOR}{path}"
    except (AttributeError, ImportError):
        pass
    raise TypeError(f"{thing!r} cannot travel between processes: it has no name in a module")


def _find(module: str, path: str) -> Any:
    found: Any = import_module(module)
    for attribute in path.split("."):
        found = getattr(found, attribute)
    return found


class _Loader:
    """Builds the values of one message."""

    def __init__(self, buffers: list[bytearray], trusted: bool) -> None:
        self._buffers, self._trusted = buffers, trusted

    def value(self, form: Any) -> Any:
        if isinstance(form, list):
            return [self.value(part) for part in form]
        if not isinstance(form, dict):
            return form
        if _TAG not in form:
            return {key: self.value(part) for key, part in form.items()}
        match form[_TAG]:
            case "enum":
                return self._named(form["type"])(form["value"])
            case "tuple":
                return tuple(self.value(part) for part in form["items"])
            case "dict":
                return {self.value(key): self.value(part) for key, part in form["items"]}
            case "bytes":
                return bytes(self._buffers[form["at"]])
            case "array":
                import numpy as np

                return np.frombuffer(self._buffers[form["at"]], form["dtype"]).reshape(
                    form["shape"]
                )
            case "path":
                return Path(form["path"])
            case "data":
                content = {name: self.value(part) for name, part in form["fields"].items()}
                return self._named(form["type"])(**content)
            case "partial" if self._trusted:
                given = [self.value(part) for part in form["args"]]
                return partial(self.value(form["function"]), *given, **self.value(form["keywords"]))
            case "name" if self._trusted:
                return self._named(form["name"])
        raise ValueError(f"{form[_TAG]!r} is not accepted here")

    def _named(self, name: str) -> Any:
        module, _, path = name.partition(_SEPARATOR)
        if not self._trusted and module.split(".")[0] != __name__.split(".")[0]:
            raise ValueError(f"{name} is not accepted here")
        found = _find(module, path)
        data = isinstance(found, type) and (is_dataclass(found) or issubclass(found, Enum))
        if not (self._trusted or data):
            raise ValueError(f"{name} is not accepted here")
        return found
