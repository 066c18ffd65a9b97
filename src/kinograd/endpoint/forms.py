"""Forms that a structured reply may take: how each is asked for, constrained and parsed.

A form is imposed where the endpoint can do it (``docs/guide/judges.md`` lists the modes), and
read strictly everywhere: a reply of another form is no verdict.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from kinograd.endpoint.replies import parse_json_object

EVENT_CHARS = 160  # ten words with room to spare
FREE_TOKENS = 768  # room to think aloud where the reply is not bound


class Mode(StrEnum):
    """Means of binding a reply to its form, the strongest first."""

    CHOICE = "choice"
    REGEX = "regex"
    JSON_SCHEMA = "json_schema"
    TEXT = "text"


def _bound(mode: Mode, pattern: str, properties: dict[str, Any]) -> dict[str, Any]:
    """Build the fields of a request that bind the reply to a regular expression or JSON object."""
    if mode is Mode.TEXT:
        return {}
    if mode is not Mode.JSON_SCHEMA:
        return {"structured_outputs": {"regex": pattern}, "regex": pattern}
    schema = {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
    form = {"name": "verdict", "strict": True, "schema": schema}
    return {"response_format": {"type": "json_schema", "json_schema": form}}


def _read_object(text: str, keys: list[str]) -> dict[str, Any] | None:
    """Parse ``text`` as a JSON object with exactly these keys; None for anything else."""
    value = parse_json_object(text)
    return value if value is not None and sorted(value) == sorted(keys) else None


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.split("\n") if line.strip()]


def _either(labels: tuple[str, ...]) -> str:
    return labels[0] if len(labels) == 1 else f"{', '.join(labels[:-1])} or {labels[-1]}"


@dataclass(frozen=True, slots=True)
class OneLabel:
    """Choice of one label: ``0``/``1``/``2``, ``True``/``False``.

    >>> OneLabel(("0", "1", "2")).parse("Score: 1. It covers 1 of 2 events.", Mode.TEXT) is None
    True
    """

    labels: tuple[str, ...]

    def instruction(self, mode: Mode) -> str:
        if mode is Mode.JSON_SCHEMA:
            return f'Reply with the JSON object {{"verdict": …}}: {_either(self.labels)}.'
        if mode is Mode.TEXT:
            return f"The last line of your reply holds only the verdict: {_either(self.labels)}."
        return f"Reply with the verdict only: {_either(self.labels)}."

    def constraint(self, mode: Mode) -> dict[str, Any]:
        if mode is Mode.CHOICE:
            return {"structured_outputs": {"choice": list(self.labels)}}
        pattern = f"({'|'.join(map(re.escape, self.labels))})"
        return _bound(mode, pattern, {"verdict": {"type": "string", "enum": list(self.labels)}})

    def max_tokens(self, mode: Mode) -> int:
        # No tokenizer needs more tokens than bytes; JSON adds braces, the key and spaces.
        return max(map(len, self.labels)) + (48 if mode is Mode.JSON_SCHEMA else 4)

    def parse(self, text: str, mode: Mode) -> str | None:
        if mode is Mode.JSON_SCHEMA:
            found = _read_object(text, ["verdict"])
            label = found["verdict"] if found else None
        elif mode is Mode.TEXT:
            label = (_lines(text) or [None])[-1]
        else:
            label = text.strip()
        return label if label in self.labels else None


@dataclass(frozen=True, slots=True)
class LabelPerItem:
    """One label for each of ``count`` numbered items; parsed to a tuple in their order."""

    count: int
    labels: tuple[str, ...]

    def instruction(self, mode: Mode) -> str:
        if mode is Mode.JSON_SCHEMA:
            return f"Reply with a JSON object from each number to {_either(self.labels)}."
        return (
            f"Reply with {self.count} lines, one for each number in order: the number, a colon, "
            f"a space, then {_either(self.labels)}. Write nothing else."
        )

    def constraint(self, mode: Mode) -> dict[str, Any]:
        lines = (f"{i}: ({'|'.join(self.labels)})" for i in self._numbers())
        one_of = {"type": "string", "enum": list(self.labels)}
        return _bound(mode, "\n".join(lines), {str(i): one_of for i in self._numbers()})

    def max_tokens(self, mode: Mode) -> int:
        return self.count * (max(map(len, self.labels)) + 12) + 16

    def parse(self, text: str, mode: Mode) -> tuple[str, ...] | None:
        if mode is Mode.JSON_SCHEMA:
            found = _read_object(text, [str(i) for i in self._numbers()]) or {}
        else:
            matches = [re.fullmatch(r"(\d+)\s*:\s*(\w+)", line) for line in _lines(text)]
            pairs = [(m[1], m[2]) for m in matches if m]
            if len(pairs) != len(matches) or len(pairs) != self.count:
                return None
            found = dict(pairs)
        labels = [found.get(str(i)) for i in self._numbers()]
        legal = all(label in self.labels for label in labels)
        return tuple(str(label) for label in labels) if legal else None

    def _numbers(self) -> range:
        return range(1, self.count + 1)


@dataclass(frozen=True, slots=True)
class EventList:
    """At most ``limit`` short sentences, repetitions dropped; none is a legal reply."""

    limit: int

    def instruction(self, mode: Mode) -> str:
        if mode is Mode.JSON_SCHEMA:
            return 'Reply with the JSON object {"events": […]}, a list of sentences.'
        return (
            "Reply with one event per line, each after a dash and a space, or with the single "
            "word none if there is no event. Write nothing else."
        )

    def constraint(self, mode: Mode) -> dict[str, Any]:
        line = f"- [^ \\n][^\\n]{{0,{EVENT_CHARS - 1}}}"
        pattern = f"none|{line}(\\n{line}){{0,{self.limit - 1}}}"
        # No length keywords: strict endpoints reject schemas that hold them.
        return _bound(mode, pattern, {"events": {"type": "array", "items": {"type": "string"}}})

    def max_tokens(self, mode: Mode) -> int:
        return self.limit * (EVENT_CHARS + 3)

    def parse(self, text: str, mode: Mode) -> tuple[str, ...] | None:
        if mode is Mode.JSON_SCHEMA:
            found = _read_object(text, ["events"])
            events = found["events"] if found else None
            if not isinstance(events, list) or not all(isinstance(e, str) for e in events):
                return None
            events = [e.strip() for e in events]
        else:
            lines = _lines(text)
            if not lines or (lines != ["none"] and not all(e.startswith("- ") for e in lines)):
                return None
            events = [] if lines == ["none"] else [e.removeprefix("- ").strip() for e in lines]
        if not all(0 < len(e) <= EVENT_CHARS for e in events):
            return None
        unique: dict[str, str] = {}
        for event in events:
            unique.setdefault(event.casefold(), event)
        return tuple(unique.values())[: self.limit]


Form = OneLabel | LabelPerItem | EventList
"""``instruction`` asks for the form in words, ``constraint`` binds a reply as far as the mode can,
``max_tokens`` bounds a bound reply, and ``parse`` gives None for another form."""
