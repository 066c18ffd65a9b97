"""Films: probed videos that proxy tasks are cut from, each in one split.

A source file belongs to one split, under whatever names it lies there, so that no row held
out for tests shows a second of what was trained on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kinograd.config.video import VideoConfig
from kinograd.curate.events import Event, annotated
from kinograd.datasets.rows import Reason, Rejected
from kinograd.files import digest_ends
from kinograd.keys import derive_seed, generator
from kinograd.types import (
    Black,
    Cut,
    DataError,
    Example,
    Kind,
    Media,
    MediaType,
    Span,
    UsageError,
)
from kinograd.video.cut import Timeline, validate_cut
from kinograd.video.decode import probe
from kinograd.video.faults import ClipError
from kinograd.video.paths import resolve

VIDEO_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".flv", ".ogv"}
)
Segments = tuple[Span | Black, ...]


@dataclass(frozen=True, slots=True)
class Film:
    """One video: its timeline, who its sources are, and what is known to happen in it.

    Attributes:
        example: the row it came in; question and answer are "" for a raw clip.
        sources: what identifies its source files, by content.
        where: file and row, for rejections.
        events: in seconds of the timeline.
    """

    example: Example
    line: Timeline
    sources: tuple[str, ...]
    split: str
    where: str
    events: tuple[Event, ...] = ()

    @property
    def id(self) -> str:
        return self.example.id

    @property
    def duration(self) -> float:
        return self.line.duration

    def rng(self, task: str, seed: int) -> Any:
        """The numpy generator of this film's row in a task."""
        return generator("proxy", task, seed, self.id)

    def show(self, start: float, end: float) -> Segments:
        """The segments of the timeline from ``start`` to ``end`` seconds."""
        out: list[Span | Black] = []
        for piece in self.line.pieces:
            a = max(start, piece.offset)
            b = min(end, piece.offset + piece.end - piece.start)
            if b - a < 1e-6:
                continue
            if piece.path is None:
                out.append(Black(round(b - a, 9)))
            else:
                shift = piece.start - piece.offset
                out.append(Span(piece.path, round(a + shift, 9), round(b + shift, 9)))
        return tuple(out)

    def refuse(self, detail: str, reason: Reason = Reason.FILTERED) -> Rejected:
        return Rejected(self.where, reason, detail, self.id)

    def row(
        self,
        task: str,
        kind: Kind,
        question: str,
        answer: str,
        segments: Segments,
        options: Sequence[str] = (),
        **extra: Any,
    ) -> Example:
        """An Example of ``task`` cut from this film."""
        return Example(
            id=f"{self.id}-{task}",
            kind=kind,
            question=question,
            answer=answer,
            media=(video(segments),),
            options=tuple(options),
            source=f"proxy/{task}",
            split=self.split,
            extra={"of": self.id, "from": self.example.source, **extra},
        )


def video(segments: Segments) -> Media:
    return Media(MediaType.VIDEO, Cut(segments))


def lettered(texts: Sequence[str]) -> tuple[str, ...]:
    """Options with their letters, ``A. red``."""
    return tuple(f"{chr(ord('A') + i)}. {text}" for i, text in enumerate(texts))


# ---------------------------------------------------------------------- reading


def raw_clips(folder: Path, media_root: Path) -> Iterator[Example]:
    """Every video file under ``folder`` as a row without question, its id its path.

    Raises:
        UsageError: no file there looks like a video.
        DataError: the folder does not lie under ``media_root``.
    """
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in VIDEO_SUFFIXES)
    if not files:
        raise UsageError(f"{folder}: holds no videos ({' '.join(sorted(VIDEO_SUFFIXES))})")
    root = media_root.resolve()
    for file in files:
        full = file.absolute()
        if not full.resolve().is_relative_to(root):
            raise DataError(f"{file} lies outside the media root {root}; give --media-root")
        name = full.parent.resolve().joinpath(full.name).relative_to(root).as_posix()
        yield Example(
            id=name,
            kind=Kind.FREE_FORM,
            question="",
            answer="",
            media=(Media(MediaType.VIDEO, Cut.whole(name)),),
        )


def opener(media_root: str) -> Callable[[tuple[str, Example | Rejected]], Film | Rejected]:
    """What probes a placed row's video: the factory that ``map_rows`` runs in each worker."""
    config = VideoConfig()

    def open_film(placed: tuple[str, Example | Rejected]) -> Film | Rejected:
        where, row = placed
        if isinstance(row, Rejected):
            return row
        if len(row.media) != 1 or row.media[0].type is not MediaType.VIDEO:
            return Rejected(where, Reason.SCHEMA, "needs exactly one video", row.id)
        cut = row.media[0].cut
        try:
            maps = {path: probe(path, config, media_root) for path in cut.paths}
            for path, index in maps.items():
                if index.truncated_at is not None:
                    told = f"{path} ends at {index.truncated_at:.2f} s although it promises more"
                    return Rejected(where, Reason.CLIP, told, row.id)
            line = validate_cut(cut, maps, config.max_duration_s)
            sources = {
                digest_ends(resolve(path, media_root, config), size=12) for path in cut.paths
            }
            events = annotated(row)
        except ClipError as error:
            return Rejected(where, Reason.of_clip(error.reason), str(error), row.id)
        except DataError as error:
            return Rejected(where, Reason.SCHEMA, str(error), row.id)
        return Film(row, line, tuple(sorted(sources)), row.split, where, events)

    return open_film


# ----------------------------------------------------------------------- splits


def divide(
    films: Iterable[Film | Rejected], test_fraction: float | None, seed: int
) -> Iterator[Film | Rejected]:
    """Each film in its split: by a draw keyed by its source, or as its row says.

    A film whose source another split has already is rejected.

    Args:
        test_fraction: chance of ``test``, otherwise ``train``; None keeps the rows' splits.
    """
    owner: dict[str, str] = {}
    for film in films:
        if isinstance(film, Rejected):
            yield film
            continue
        split = film.split
        if test_fraction is not None:
            drawn = generator("proxy split", seed, film.sources[0]).random()
            split = "test" if drawn < test_fraction else "train"
        clash = {owner.setdefault(s, split) for s in film.sources} - {split}
        if clash:
            yield film.refuse(f"shares a source file with split {min(clash)}: {film.id}")
        else:
            yield replace(film, split=split)


def partners(
    films: Sequence[Film], task: str, seed: int, least: float
) -> Iterator[tuple[Film, Film | None]]:
    """Every film with another of its split that has no source in common, or None.

    The films of a split stand in a keyed order, in a ring; each one's partner follows it.

    Args:
        least: seconds that a partner must last.
    """
    rings: dict[str, list[Film]] = {}
    for film in sorted(films, key=lambda f: derive_seed("proxy ring", task, seed, f.id)):
        rings.setdefault(film.split, []).append(film)
    places = {film.id: i for ring in rings.values() for i, film in enumerate(ring)}
    for film in films:
        ring = rings[film.split]
        turned = (ring[(places[film.id] + i) % len(ring)] for i in range(1, len(ring)))
        mine = {*film.sources}
        fit = (f for f in turned if f.duration >= least and mine.isdisjoint(f.sources))
        yield film, next(fit, None)
