"""Prompts as versioned Markdown files, filled in one pass.

One pass means that a value is never searched for placeholders: a candidate that says
``{{reference}}`` is shown saying so, it does not get the reference pasted in.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

_FOLDER = Path(__file__).parent / "prompts"
_PLACEHOLDER = re.compile(r"\{\{(\w+)\}\}")
_SECTION = re.compile(r"^# (system|user)\n", re.MULTILINE)

ChatMessage = Mapping[str, str]
"""One chat message: ``role`` and ``content``."""


@dataclass(frozen=True, slots=True)
class Template:
    """One prompt: its name with set and version (part of the cache key) and its sections."""

    version: str
    sections: tuple[tuple[str, str], ...]

    def render(self, **values: str) -> tuple[ChatMessage, ...]:
        """Fill the prompt and return its chat messages; further values are not used.

        Raises:
            KeyError: if the prompt has a placeholder without a value.
        """
        return tuple(
            {"role": role, "content": _PLACEHOLDER.sub(lambda m: values[m[1]], text)}
            for role, text in self.sections
        )


def parse_template(name: str, source: str) -> Template:
    """Parse a template: ``version: N``, then the sections ``# system`` (optional) and ``# user``.

    Raises:
        ValueError: if the file has another form.
    """
    head, _, body = source.partition("\n")
    if not (version := re.fullmatch(r"version: (\d+)", head)):
        raise ValueError(f"prompt {name}: the first line must be 'version: N', not {head!r}")
    before, *rest = _SECTION.split(body)
    sections = tuple((role, text.strip()) for role, text in zip(rest[::2], rest[1::2], strict=True))
    if before.strip() or not sections or sections[-1][0] != "user":
        raise ValueError(f"prompt {name}: needs the sections '# system' (optional) and '# user'")
    return Template(f"{name}@{version[1]}", sections)


@lru_cache
def load_template(prompt_set: str, name: str) -> Template:
    """Load the prompt ``name`` of the set ``default`` or ``published``."""
    path = _FOLDER / prompt_set / f"{name}.md"
    return parse_template(f"{prompt_set}/{name}", path.read_text(encoding="utf-8"))
