"""Check of every row: schema, gold answer against its own grader, clips.

``docs/guide/data-quality.md`` lists the checks; a row is rejected for the first that fails.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from kinograd.config.schema import PromptConfig
from kinograd.config.video import VideoConfig
from kinograd.curate.answer_leak import find_leak
from kinograd.curate.journal import Journal, resumable
from kinograd.curate.near_duplicates import media_key, question_key
from kinograd.datasets.jsonl import example_to_json
from kinograd.datasets.rows import Reason, Rejected
from kinograd.datasets.seen_keys import SeenKeys
from kinograd.files import atomic_stream, atomic_text
from kinograd.grading.extract import strip_answer_tags
from kinograd.kinds import KINDS, check_gold
from kinograd.prompts import messages
from kinograd.types import DataError, Example, Media, MediaType

_ODD_PATH = re.compile(r"^/|^[A-Za-z]:|\\|^[A-Za-z][A-Za-z0-9+.\-]+:|(?:^|/)\.\.(?:/|$)|\0")
_PROBED = 4096  # files that a worker remembers
_SOURCES = 1000
MANY = "(others)"
"""Name under which a report counts the sources beyond the first thousand."""


@dataclass(frozen=True, slots=True)
class Checks:
    """Checks beside those of the text.

    Attributes:
        media_root: None: clips are not looked at.
        decode: decode every clip, not only open it.
        size_factor: of the frames decoded.
    """

    video: VideoConfig
    media_root: str | None = None
    decode: bool = False
    size_factor: int = 28


class Checker:
    """Finds the fault of one example on its own; a worker's function for ``map_rows``."""

    def __init__(self, checks: Checks) -> None:
        self._checks = checks
        self._store: Any = None
        if checks.media_root is not None and checks.decode:
            from kinograd.video.clip_store import ClipStore

            own = {"workers": 1, "memory_gb": min(0.25, checks.video.memory_gb)}
            video = checks.video.model_copy(update=own)
            self._store = ClipStore(video, checks.media_root, checks.size_factor)
        self._probe = lru_cache(_PROBED)(self._open)

    def __call__(self, example: Example) -> dict[str, str]:
        """Return {}, or ``{"reason": ..., "detail": ...}``."""
        reason, detail = check_text(example) or check_paths(example) or (None, "")
        if reason is None and self._checks.media_root is not None:
            reason, detail = self._clips(example)
        return {} if reason is None else {"reason": reason.value, "detail": detail}

    def close(self) -> None:
        if self._store is not None:
            self._store.close()

    def _clips(self, example: Example) -> tuple[Reason | None, str]:
        from kinograd.video.faults import ClipError

        try:
            for medium in example.media:
                if self._store is not None:
                    self._store.ensure(medium)
                else:
                    self._look(medium)
        except ClipError as error:
            return Reason.of_clip(error.reason), str(error)
        return None, ""

    def _look(self, medium: Media) -> None:
        """Opens the files of a medium and lays its cut against them."""
        from kinograd.video.cut import validate_cut
        from kinograd.video.faults import ClipError, ClipFault

        sources = {path: self._probe(path, medium.type) for path in medium.cut.paths}
        for path, source in sources.items():
            if isinstance(source, ClipError):
                raise source
            at = None if source is None else source.truncated_at
            if at is not None and self._checks.video.on_damage == "error":
                why = "the file ends before its time; fetch it again"
                raise ClipError(ClipFault.TRUNCATED, path, why, at)
        if medium.type is MediaType.VIDEO:
            validate_cut(medium.cut, sources, self._checks.video.max_duration_s)

    def _open(self, path: str, type: MediaType) -> Any:
        """Return the index of a video file, None for an image, or the ClipError."""
        from kinograd.types import Cut
        from kinograd.video.decode import decode, probe
        from kinograd.video.faults import ClipError

        video, root = self._checks.video, self._checks.media_root or "."
        try:
            if type is MediaType.VIDEO:
                return probe(path, video, root)
            decode(Media(type, Cut.whole(path)), video.spec(self._checks.size_factor), video, root)
        except ClipError as error:
            return error
        return None


def check_text(example: Example) -> tuple[Reason, str] | None:
    """Return the fault of options, gold answer or question, or None."""
    gold = strip_answer_tags(example.answer)
    if fault := KINDS[example.kind].check_options(gold, example.options):
        return Reason.OPTIONS, fault
    if failed := check_gold(example.kind, example.answer, example.options):
        return Reason.ANSWER, failed
    try:
        messages(example, PromptConfig())
    except DataError as error:
        return Reason.SCHEMA, str(error)
    leak = find_leak(example)
    return (Reason.LEAK, leak) if leak else None


def check_paths(example: Example) -> tuple[Reason, str] | None:
    """Return the fault of the first path that is not relative and inside its root, or None."""
    for path in (path for medium in example.media for path in medium.cut.paths):
        if _ODD_PATH.search(path):
            why = "is not a path below media_root written with '/'; rewrite it"
            return Reason.PATH, f"{path[:200]!r} {why}"
    return None


# ----------------------------------------------------------------------- report


def validate(
    rows: Iterable[tuple[str, Example | Rejected]],
    out: Path,
    journal: Journal,
    checks: Checks,
    *,
    workers: int = 1,
    backend: str = "local",
    advance: Callable[[], object] = lambda: None,
) -> dict[str, Any]:
    """Check every row; write valid.jsonl, quarantine.jsonl and report.json into ``out``.

    Each file appears complete or not at all, report.json last. Then the journal is deleted.

    Args:
        rows: with their places; the reader's rejections are passed on.

    Returns:
        The report: rows, valid, rejected by reason, the same by source.
    """
    out.mkdir(parents=True, exist_ok=True)
    counts = _Counts()
    results = resumable(partial(Checker, checks), rows, journal, workers=workers, backend=backend)
    seen = SeenKeys(), SeenKeys()
    with (
        atomic_stream(out / "quarantine.jsonl") as quarantine,
        atomic_stream(out / "valid.jsonl") as valid,
    ):
        for where, row, record in results:
            advance()
            rejected = _judged(where, row, record, *seen)
            counts.add(row, rejected)
            line = None if isinstance(row, Rejected) else example_to_json(row)
            if rejected is not None:
                line = rejected.to_json() | {"row": line}
            stream = valid if rejected is None else quarantine
            stream.write(json.dumps(line, ensure_ascii=False) + "\n")
    report = counts.report() | {
        "media_root": checks.media_root,
        "decoded": checks.media_root is not None and checks.decode,
    }
    text = json.dumps(report, indent=1, ensure_ascii=False) + "\n"
    atomic_text(out / "report.json", text)
    journal.remove()
    return report


def _judged(
    where: str, row: Example | Rejected, record: dict[str, Any], ids: SeenKeys, questions: SeenKeys
) -> Rejected | None:
    """Return the row's rejection or None; repetitions of earlier rows are found here, in order."""
    if isinstance(row, Rejected):
        return row
    if first := ids.setdefault(row.id, where):
        return Rejected(where, Reason.DUPLICATE, f"the id was already used at {first}", row.id)
    reason = record.get("reason")
    first = questions.setdefault(f"{question_key(row)}\x1e{media_key(row)}", where)
    if first and reason not in (Reason.OPTIONS, Reason.ANSWER, Reason.LEAK):
        detail = f"the same question about the same clip as {first}"
        return Rejected(where, Reason.DUPLICATE, detail, row.id)
    return Rejected(where, Reason(reason), record["detail"], row.id) if reason else None


class _Counts:
    """Rows and rejections, in all and by source."""

    def __init__(self) -> None:
        self._sources: dict[str, Counter[str]] = {}

    def add(self, row: Example | Rejected, rejected: Rejected | None) -> None:
        source = "(unread)" if isinstance(row, Rejected) else row.source
        if source not in self._sources and len(self._sources) >= _SOURCES:
            source = MANY
        found = self._sources.setdefault(source, Counter())
        found["valid" if rejected is None else rejected.reason.value] += 1

    def report(self) -> dict[str, Any]:
        total: Counter[str] = Counter()
        for found in self._sources.values():
            total.update(found)
        by_source = {name: _line(self._sources[name]) for name in sorted(self._sources)}
        return _line(total) | {"by_source": by_source}


def _line(found: Counter[str]) -> dict[str, Any]:
    rejected = {reason.value: found[reason.value] for reason in Reason if found[reason.value]}
    return {"rows": found.total(), "valid": found["valid"], "rejected": rejected}
