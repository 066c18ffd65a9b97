"""Contamination: clips, files and questions that evaluation and training files share.

``docs/guide/data-quality.md`` says what counts as shared. Files are compared by path and, with
clips looked at, by content (size, first and last 64 KiB).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from kinograd.config.video import VideoConfig
from kinograd.curate.journal import Journal, resumable
from kinograd.curate.near_duplicates import (
    Thumbnailer,
    find_similar,
    media_key,
    no_pictures,
    question_key,
)
from kinograd.datasets.rows import Rejected
from kinograd.datasets.seen_keys import SeenKeys
from kinograd.files import digest_ends
from kinograd.types import Example

Rows = Callable[[], Iterable[tuple[str, Example | Rejected]]]


@dataclass(frozen=True, slots=True)
class Shared:
    """Something that a row of the evaluation shares with training.

    Attributes:
        by: file, clip or question.
        eval, train: places of the rows; the first of training's.
        what: the file or the question.
    """

    by: str
    eval: str
    train: str
    what: str

    def to_json(self) -> dict[str, str]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Overlap:
    """Shared items, and the rows (place, fault) whose clips could not be compared."""

    shared: tuple[Shared, ...]
    unread: tuple[tuple[str, str], ...]


def overlap(
    train: Rows,
    evaluation: Rows,
    journal: Journal,
    config: VideoConfig,
    media_root: str | None,
    *,
    workers: int = 1,
    backend: str = "local",
    advance: Callable[[], object] = lambda: None,
) -> Overlap:
    """Look for every row of ``evaluation`` in ``train``; both may be read several times.

    Args:
        media_root: of both; None: paths and questions only.
    """
    make = no_pictures if media_root is None else partial(_Printer, config, media_root)
    run = partial(resumable, make, journal=journal, workers=workers, backend=backend)
    templates = _Templates()
    for _, row in evaluation():
        templates.add(row)
    templates.next_file()
    files, questions = SeenKeys(), SeenKeys()
    places: list[str] = []
    pictures = bytearray()
    unread: list[tuple[str, str]] = []
    for place, row, record in run(train()):
        advance()
        if isinstance(row, Rejected):
            continue
        templates.add(row)
        questions.setdefault(question_key(row), place)
        for name in (*_paths(row), *record.get("prints", ())):
            files.setdefault(name, place)
        for picture in record.get("pictures", ()):
            places.append(place)
            pictures += bytes.fromhex(picture)
        unread += [(place, record["clip"])] if "clip" in record else []
    shared: list[Shared] = []
    for place, row, record in run(evaluation()):
        advance()
        if isinstance(row, Rejected):
            continue
        unread += [(place, record["clip"])] if "clip" in record else []
        names = [*_paths(row), *record.get("prints", ())]
        template = question_key(row) in templates.found
        hits = {
            "file": next((f for name in names if (f := files.get(name))), None),
            "clip": _look(record.get("pictures", ()), pictures, places),
            "question": None if template else questions.get(question_key(row)),
        }
        what = {"question": row.question[:200]}
        media = ", ".join(p for m in row.media for p in m.cut.paths)
        shared += [Shared(by, place, t, what.get(by, media)) for by, t in hits.items() if t]
    return Overlap(tuple(shared), tuple(unread))


class _Templates:
    """Questions that one file asks about more than one clip."""

    def __init__(self) -> None:
        self.found: set[str] = set()
        self.next_file()

    def next_file(self) -> None:
        self._asked = SeenKeys()

    def add(self, row: Example | Rejected) -> None:
        if isinstance(row, Rejected):
            return
        key, media = question_key(row), media_key(row)
        if self._asked.setdefault(key, media) not in (None, media):
            self.found.add(key)


class _Printer:
    """``Thumbnailer``'s record with the fingerprints of the files; a function for ``map_rows``."""

    def __init__(self, config: VideoConfig, media_root: str) -> None:
        self._config, self._root = config, media_root
        self._thumbnailer = Thumbnailer(config, media_root)

    def __call__(self, example: Example) -> dict[str, Any]:
        from kinograd.video.paths import resolve

        record = self._thumbnailer(example)
        if "clip" in record:
            return record
        files = (resolve(path, self._root, self._config) for path in _paths(example))
        return record | {"prints": [f"bytes {digest_ends(file)}" for file in files]}

    def close(self) -> None:
        self._thumbnailer.close()


def _paths(example: Example) -> list[str]:
    return list(dict.fromkeys(path for medium in example.media for path in medium.cut.paths))


def _look(pictures: Iterable[str], known: bytearray, places: list[str]) -> str | None:
    """Return the place of the first known picture similar to one of ``pictures``."""
    found = (find_similar(bytes.fromhex(picture), known) for picture in pictures)
    return next((places[number] for number in found if number is not None), None)
