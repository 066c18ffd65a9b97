"""Every section and key of a recipe is described: the schema and the guide show these texts."""

from __future__ import annotations

from collections.abc import Iterator

import kinograd.config.load
import kinograd.config.teacher  # noqa: F401
from kinograd.section import Section


def sections(base: type[Section] = Section) -> Iterator[type[Section]]:
    for section in base.__subclasses__():
        if section.__module__.startswith("kinograd."):  # not those that other tests define
            yield section
        yield from sections(section)


def test_every_section_and_key_is_described() -> None:
    faults = [
        f"{section.__name__}.{key}"
        for section in sections()
        for key, field in section.model_fields.items()
        if key not in ("type", "method") and not field.description
    ]
    faults += [section.__name__ for section in sections() if not section.__doc__]
    assert sorted(set(faults)) == []
