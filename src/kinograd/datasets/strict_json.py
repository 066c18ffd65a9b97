"""Strict JSON: UTF-8, no NaN, no infinite number, no repeated key, no half of a character."""

from __future__ import annotations

import json
import math
import re
from typing import Any, NamedTuple

from kinograd.types import DataError

MAX_BYTES = 16 << 20
"""Longer rows are rejected: they are another format, or hold media inline."""
TOO_LONG = f"longer than {MAX_BYTES >> 20} MiB"

_SPACE = re.compile(r"[ \t\r\n]*")


class Decoded(NamedTuple):
    """A value of a JSON text.

    Attributes:
        end: index of the character behind it.
        fault: what strict JSON forbids in it, or None.
    """

    value: Any
    end: int
    fault: str | None


class Decoder:
    """Decodes values one by one; a forbidden value is still read to its end."""

    def __init__(self) -> None:
        self._faults: list[str] = []
        self._decoder = json.JSONDecoder(
            object_pairs_hook=self._object,
            parse_constant=self._constant,
            parse_float=self._float,
            parse_int=self._int,
        )

    def decode(self, text: str, start: int) -> Decoded:
        """Decode the value at ``start``, which is no space.

        Raises:
            ValueError: no value begins there, or it has no end.
            RecursionError: it is nested too deep.
        """
        self._faults.clear()
        value, end = self._decoder.raw_decode(text, start)
        fault = next(iter(self._faults), None)
        return Decoded(value, end, fault or _encoding_fault(value, text[start:end]))

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        row = dict(pairs)
        if len(row) != len(pairs):
            seen: set[str] = set()
            for key, _ in pairs:
                if key in seen:
                    self._faults.append(f"key {key!r:.80} occurs twice")
                    break
                seen.add(key)
        return row

    def _constant(self, name: str) -> None:
        self._faults.append(f"{name} is not JSON")

    def _float(self, number: str) -> float:
        value = float(number)
        if not math.isfinite(value):
            self._faults.append(f"{number:.40} is too large for a number")
        return value

    def _int(self, number: str) -> int:
        try:
            return int(number)
        except ValueError:  # Python limits the digits, whose conversion takes quadratic time
            self._faults.append(f"a number of {len(number)} digits is too large")
            return 0


def skip_space(text: str, start: int) -> int:
    """Return the index of the first character from ``start`` on that is no JSON space."""
    found = _SPACE.match(text, start)
    return found.end() if found else start


def parse_json(data: bytes) -> Any:
    """Return the value of a JSON text.

    Raises:
        DataError: it is not strict JSON.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"not UTF-8 (byte {error.start}); convert the file") from None
    try:
        decoded = Decoder().decode(text, skip_space(text, 0))
    except json.JSONDecodeError as error:
        raise DataError(f"not JSON: {error.msg} at column {error.colno}") from None
    except RecursionError:
        raise DataError("not readable JSON: nested too deep") from None
    if (end := skip_space(text, decoded.end)) < len(text):
        raise DataError(f"not JSON: Extra data at column {end + 1}")
    if decoded.fault is not None:
        raise DataError(decoded.fault)
    return decoded.value


def _encoding_fault(value: Any, text: str) -> str | None:
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:  # bytes that were decoded with surrogateescape
            return f"not UTF-8 (character {error.start}); convert the file"
    if "\\u" in text:
        try:  # an escape can hold half of a surrogate pair, which no file can hold
            json.dumps(value, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError:
            return "holds half of a surrogate pair, which is not text"
    return None
