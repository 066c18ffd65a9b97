"""Source videos: probed videos that proxy tasks are cut from, each in one split.

A source file belongs to one split, under whatever names it lies there, so that no row held
out for tests shows a second of what was trained on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kinograd.config.video import VideoConfig
from kinograd.curate.events import Event, annotated_events
from kinograd.datasets.rows import Reason, Rejected
from kinograd.files import digest_ends
from kinograd.keys import derive_seed, generator
from kinograd.types import Black, Cut, DataError, Example, Kind, Media, MediaType, Span, UsageError
from kinograd.video.cut import Timeline, validate_cut
from kinograd.video.decode import probe
from kinograd.video.faults import ClipError
from kinograd.video.paths import resolve

VIDEO_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".flv", ".ogv"}
)
Segments = tuple[Span | Black, ...]


@dataclass(frozen=True, slots=True)
class SourceVideo:
    """One video: its timeline, its source files, and the events known in it.

    Attributes:
        example: its row; question and answer are "" for a raw clip.
        line: its timeline, in seconds.
        sources: digests of its source files' content.
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
        """Return the numpy generator of this video's row in a task."""
        return generator("proxy", task, seed, self.id)

    def show(self, start: float, end: float) -> Segments:
        """Cut the timeline from ``start`` to ``end`` seconds; returns the segments."""
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

    def reject(self, detail: str, reason: Reason = Reason.FILTERED) -> Rejected:
        """Reject this video's row."""
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
        """Build an Example of ``task`` cut from this video."""
        return Example(
            id=f"{self.id}-{task}",
            kind=kind,
            question=question,
            answer=answer,
            media=(video_medium(segments),),
            options=tuple(options),
            source=f"proxy/{task}",
            split=self.split,
            extra={"of": self.id, "from": self.example.source, **extra},
        )

    def choice_row(
        self,
        task: str,
        question: str,
        texts: Sequence[str],
        right: int,
        segments: Segments,
        **extra: Any,
    ) -> Example:
        """Build a multiple-choice Example whose options are ``texts``, each equally likely.

        Args:
            right: index of the right option.
        """
        options = [f"{chr(ord('A') + i)}. {text}" for i, text in enumerate(texts)]
        return self.row(
            task,
            Kind.MULTIPLE_CHOICE,
            question,
            options[right][0],
            segments,
            options,
            chance=1 / len(texts),
            **extra,
        )


def video_medium(segments: Segments) -> Media:
    """Return a video medium of these segments."""
    return Media(MediaType.VIDEO, Cut(segments))


def raw_clips(folder: Path, media_root: Path) -> Iterator[Example]:
    """Yield every video file under ``folder`` as a row without question; its id is its path.

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
            raise DataError(f"{file} lies outside the media root {root}; set media_root=FOLDER")
        name = full.parent.resolve().joinpath(full.name).relative_to(root).as_posix()
        yield Example(
            id=name,
            kind=Kind.FREE_FORM,
            question="",
            answer="",
            media=(Media(MediaType.VIDEO, Cut.whole(name)),),
        )


def make_prober(
    media_root: str,
) -> Callable[[tuple[str, Example | Rejected]], SourceVideo | Rejected]:
    """Return the function that probes the video of a row with its place (for ``map_rows``)."""
    config = VideoConfig()

    def probed(located: tuple[str, Example | Rejected]) -> SourceVideo | Rejected:
        where, row = located
        if isinstance(row, Rejected):
            return row
        if len(row.media) != 1 or row.media[0].type is not MediaType.VIDEO:
            return Rejected(where, Reason.SCHEMA, "needs exactly one video", row.id)
        cut = row.media[0].cut
        try:
            maps = {path: probe(path, config, media_root) for path in cut.paths}
            for path, index in maps.items():
                if index.truncated_at is not None:
                    why = f"{path} ends at {index.truncated_at:.2f} s although it promises more"
                    return Rejected(where, Reason.CLIP, why, row.id)
            line = validate_cut(cut, maps, config.max_duration_s)
            sources = {
                digest_ends(resolve(path, media_root, config), size=12) for path in cut.paths
            }
            events = annotated_events(row)
        except ClipError as error:
            return Rejected(where, Reason.of_clip(error.reason), str(error), row.id)
        except DataError as error:
            return Rejected(where, Reason.SCHEMA, str(error), row.id)
        return SourceVideo(row, line, tuple(sorted(sources)), row.split, where, events)

    return probed


def assign_splits(
    videos: Iterable[SourceVideo | Rejected], test_fraction: float | None, seed: int
) -> Iterator[SourceVideo | Rejected]:
    """Yield each video in its split; reject one whose source another split has already.

    Args:
        test_fraction: chance of ``test``, otherwise ``train``, in a draw keyed by the source
            file; None keeps the rows' splits.
    """
    owner: dict[str, str] = {}
    for video in videos:
        if isinstance(video, Rejected):
            yield video
            continue
        split = video.split
        if test_fraction is not None:
            drawn = generator("proxy split", seed, video.sources[0]).random()
            split = "test" if drawn < test_fraction else "train"
        clash = {owner.setdefault(s, split) for s in video.sources} - {split}
        if clash:
            yield video.reject(f"shares a source file with split {min(clash)}: {video.id}")
        else:
            yield replace(video, split=split)


def pair_up(
    videos: Sequence[SourceVideo], task: str, seed: int, least: float
) -> Iterator[tuple[SourceVideo, SourceVideo | None]]:
    """Yield every video with another of its split that has no source in common, or None.

    Args:
        least: seconds that the other video must last.
    """
    # The videos of a split form a ring in a keyed order; the next one that fits is taken.
    rings: dict[str, list[SourceVideo]] = {}
    for video in sorted(videos, key=lambda v: derive_seed("proxy ring", task, seed, v.id)):
        rings.setdefault(video.split, []).append(video)
    places = {video.id: i for ring in rings.values() for i, video in enumerate(ring)}
    for video in videos:
        ring = rings[video.split]
        turned = (ring[(places[video.id] + i) % len(ring)] for i in range(1, len(ring)))
        mine = {*video.sources}
        fit = (v for v in turned if v.duration >= least and mine.isdisjoint(v.sources))
        yield video, next(fit, None)
