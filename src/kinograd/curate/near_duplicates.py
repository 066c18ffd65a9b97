"""Near-duplicate rows: questions compared as text, clips as thumbnails.

``docs/guide/data-quality.md`` states the rule. Rows with other answers about similar clips are
kept: the difference may be the point of the question.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from kinograd.config.video import VideoConfig
from kinograd.curate.answer_leak import normalised
from kinograd.curate.journal import Journal, resumable
from kinograd.curate.selection import Selection, write_with_quarantine
from kinograd.datasets.rows import Reason, Rejected
from kinograd.datasets.seen_keys import SeenKeys, key_digest
from kinograd.grading.extract import strip_answer_tags
from kinograd.types import Example
from kinograd.video.cut import media_to_json

FRAMES, GRID = 4, 8
BYTES = FRAMES * 3 * GRID * GRID
"""Length of a clip's thumbnails."""
MOST_DIFFERENT = 20
"""Levels of 255. Encoding again and scaling move a cell by up to 18; in another clip some
cell moves by more, also where both show one small thing on the same ground."""
_CELL = 8  # pixels


def question_key(example: Example) -> str:
    """Return question and options as compared: normalised, options in any order."""
    options = sorted(normalised(option) for option in example.options)
    return "\x1f".join([normalised(example.question), *options])


def media_key(example: Example) -> str:
    """Return the media of an example as text: the same cuts of the same files give the same."""
    return json.dumps([media_to_json(m) for m in example.media])


def thumbnails(frames: np.ndarray) -> bytes:
    """Return ``BYTES`` bytes: the mean colour of each cell of an 8 x 8 grid in four frames.

    Args:
        frames: uint8 (T, 3, H, W); four spread over the clip are taken.
    """
    chosen = frames[np.linspace(0, len(frames) - 1, FRAMES).round().astype(int)]
    rows, columns = (np.linspace(0, n, GRID + 1).astype(int) for n in chosen.shape[2:])
    sums = np.add.reduceat(chosen.astype(np.float64), rows[:-1], axis=2)
    sums = np.add.reduceat(sums, columns[:-1], axis=3)
    means = sums / np.diff(rows)[:, None] / np.diff(columns)
    return means.round().astype(np.uint8).tobytes()


def find_similar(mine: bytes, others: bytes | bytearray) -> int | None:
    """Return the index of the first entry of ``others`` similar to ``mine``, or None.

    They are similar if no cell differs by more than ``MOST_DIFFERENT`` levels.

    Args:
        mine: the thumbnails of one example's media, one after another.
        others: the same of as many media per example, any number of examples.
    """
    wanted = np.frombuffer(mine, np.uint8)
    known = np.frombuffer(others, np.uint8).reshape(-1, len(mine))
    found = np.arange(len(known))
    for step in (31, 1):  # a few cells rule out most clips
        near, cells = known[found, ::step], wanted[::step]
        differ = np.maximum(near, cells) - np.minimum(near, cells)
        found = found[(differ <= MOST_DIFFERENT).all(axis=1)]
    return int(found[0]) if len(found) else None


class Thumbnailer:
    """Thumbnails of an example's media; a worker's function for ``map_rows``."""

    def __init__(self, config: VideoConfig, media_root: str) -> None:
        from kinograd.video.clip_store import ClipStore

        side = _CELL * GRID
        small = {"preset": None, "fps": None, "nframes": FRAMES, "resample": "area"}
        pixels = {"min_pixels": side * side, "max_pixels": side * side, "total_pixels": None}
        own = {"workers": 1, "cache_dir": None, "allow_urls": False, "memory_gb": 0.1}
        config = config.model_copy(update=small | pixels | own)
        self._store = ClipStore(config, media_root, _CELL)

    def __call__(self, example: Example) -> dict[str, Any]:
        """``{"pictures": [hex, ...]}``, or ``{"clip": why not}``.

        A clip of fewer than four frames is good, but has no thumbnails to compare.
        """
        from kinograd.video.faults import ClipError, ClipFault

        try:
            clips = [self._store.get(medium) for medium in example.media]
        except ClipError as error:
            short = error.reason is ClipFault.TOO_FEW_FRAMES
            return {"pictures": []} if short else {"clip": str(error)}
        return {"pictures": [thumbnails(clip.frames).hex() for clip in clips]}

    def close(self) -> None:
        self._store.close()


class DuplicateFinder:
    """Finds rows that repeat an earlier one; remembers keys and thumbnails only."""

    def __init__(self) -> None:
        self._seen = SeenKeys()
        self._similar: dict[int, tuple[list[str], bytearray]] = {}

    def find(self, where: str, example: Example, pictures: Sequence[str]) -> str | None:
        """Return the way in which this row repeats an earlier one, or None.

        Args:
            pictures: of its media; none: only the same cuts are found.
        """
        question = question_key(example)
        if first := self._seen.setdefault(f"{question}\x1e{media_key(example)}", where):
            return f"the same question about the same clip as {first}"
        if not pictures:
            return None
        key = key_digest(
            f"{question}\x1e{normalised(strip_answer_tags(example.answer))}\x1e{len(pictures)}"
        )
        mine = bytes.fromhex("".join(pictures))
        places, others = self._similar.setdefault(key, ([], bytearray()))
        if (place := find_similar(mine, others)) is not None:
            return f"the same question about a clip similar to that of {places[place]}"
        places.append(where)
        others += mine
        return None


def dedup(
    rows: Iterable[tuple[str, Example | Rejected]],
    out: Path,
    journal: Journal,
    config: VideoConfig,
    media_root: str | None,
    *,
    workers: int = 1,
    backend: str = "local",
    advance: Callable[[], object] = lambda: None,
) -> Selection:
    """Write the rows that repeat no earlier row to ``out``, the others to its quarantine.

    Args:
        media_root: None: clips are not looked at, only the same cuts are found.
    """
    make = no_pictures if media_root is None else partial(Thumbnailer, config, media_root)
    found = resumable(make, rows, journal, workers=workers, backend=backend)
    finder = DuplicateFinder()

    def kept() -> Iterator[Example | Rejected]:
        for where, row, record in found:
            advance()
            if isinstance(row, Rejected):
                yield row
            elif why := record.get("clip"):
                yield Rejected(where, Reason.CLIP, why, row.id)
            elif why := finder.find(where, row, record["pictures"]):
                yield Rejected(where, Reason.DUPLICATE, why, row.id)
            else:
                yield row

    return write_with_quarantine(out, kept())


def no_pictures() -> Callable[[Example], dict[str, Any]]:
    """Return the function for ``resumable`` that looks at no clip."""
    return lambda _: {"pictures": []}
