"""Statistics of data files: counts, answers worth guessing, lengths, clips under a VideoSpec.

Everything is counted while rows stream by; memory does not grow with them. Tables hold at
most ``MOST`` distinct entries and count what comes after as others; spreads keep numbers to
two significant digits, mean and extremes exactly.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from functools import lru_cache, partial
from typing import Any

from kinograd.config.video import VideoConfig
from kinograd.curate.answer_leak import normalised
from kinograd.datasets.rows import Rejected
from kinograd.grading.extract import strip_answer_tags
from kinograd.kinds import KINDS
from kinograd.types import Example, Media, MediaType
from kinograd.workers.row_map import map_rows

MOST = 2000
_GROUPS = 300
_TOP = 8
_ORDER = ("all", "kind", "family", "source")
Measures = Mapping[str, Any]


class Tally:
    """A counter of at most ``MOST`` distinct entries; others are only counted together."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.others = 0

    def add(self, entry: str) -> None:
        if entry in self.counts or len(self.counts) < MOST:
            self.counts[entry] += 1
        else:
            self.others += 1

    def to_json(self) -> dict[str, int]:
        shown = dict(self.counts.most_common(_GROUPS))
        rest = self.counts.total() + self.others - sum(shown.values())
        return shown | ({"(others)": rest} if rest else {})


class Spread:
    """Numbers: how many, mean, extremes, and quantiles to two significant digits."""

    def __init__(self) -> None:
        self.n, self.total = 0, 0.0
        self.low, self.high = math.inf, -math.inf
        self.bins: Counter[float] = Counter()

    def add(self, value: float) -> None:
        self.n += 1
        self.total += value
        self.low, self.high = min(self.low, value), max(self.high, value)
        self.bins[float(f"{value:.1e}")] += 1

    def to_json(self) -> dict[str, Any]:
        if not self.n:
            return {"n": 0}
        bins = sorted(self.bins.items())
        quantiles = {f"p{round(100 * q)}": _quantile(bins, q * self.n) for q in (0.05, 0.5, 0.95)}
        ends = {"mean": self.total / self.n, "min": self.low, "max": self.high}
        return {"n": self.n} | ends | quantiles | {"bins": bins}


def _quantile(bins: list[tuple[float, int]], rank: float) -> float:
    below = 0
    for value, count in bins:
        below += count
        if below >= rank:
            return value
    return bins[-1][0]


class Summary:
    """Counts of the rows added so far."""

    def __init__(self) -> None:
        self.rows = 0
        self._unread: Counter[str] = Counter()
        self._failed: Counter[str] = Counter()
        self._counts = {name: Tally() for name in ("kind", "source", "split", "media")}
        self._answers: dict[tuple[str, str], Tally] = {}
        self._words = Spread()
        self._clips = {name: Spread() for name in ("seconds", "frames", "visual tokens")}

    def add(self, row: Example | Rejected, measures: Measures) -> None:
        """Count a row; ``measures``: see ``Measurer``."""
        self.rows += 1
        if isinstance(row, Rejected):
            self._unread[row.reason.value] += 1
            return
        of = {"kind": row.kind.value, "source": row.source or "(none)", "split": row.split}
        for name, entry in (of | {"media": _media(row)}).items():
            self._counts[name].add(entry)
        answer = guessable(row)
        family = row.extra.get("family")
        groups = [("all", "all"), ("kind", of["kind"]), ("source", of["source"])]
        for group in [*groups, *([("family", family)] if isinstance(family, str) else [])]:
            if group in self._answers or len(self._answers) < _GROUPS:
                self._answers.setdefault(group, Tally()).add(answer)
        self._words.add(len(normalised(row.question).split()))
        for name, values in measures.get("clips", {}).items():
            for value in values:
                self._clips[name].add(value)
        if "failed" in measures:
            self._failed[measures["failed"]] += 1

    def to_json(self) -> dict[str, Any]:
        """Return ``rows, unread, counts, answers, numbers, failed`` as JSON."""
        numbers = {"words of the question": self._words} | self._clips
        groups = [_guess(*group, tally) for group, tally in self._answers.items()]
        return {
            "rows": self.rows,
            "unread": dict(self._unread),
            "counts": {name: tally.to_json() for name, tally in self._counts.items()},
            "answers": sorted(groups, key=lambda g: (_ORDER.index(g["by"]), -g["rows"])),
            "numbers": {name: spread.to_json() for name, spread in numbers.items()},
            "failed": dict(self._failed.most_common()),
        }


def guessable(example: Example) -> str:
    """Return an answer as counted: the letter of a multiple choice, else the text normalised."""
    answer = strip_answer_tags(example.answer)
    return KINDS[example.kind].canonical(answer, example.options) or answer


def _guess(by: str, name: str, tally: Tally) -> dict[str, Any]:
    """Return the accuracy of always guessing the commonest answer of one group of rows."""
    rows = tally.counts.total() + tally.others
    top = tally.counts.most_common(_TOP)
    return {
        "by": by,
        "name": name,
        "rows": rows,
        "distinct": len(tally.counts),
        "more_distinct": tally.others > 0,
        "commonest": top[0][0],
        "accuracy": top[0][1] / rows,
        "top": top,
    }


def _media(example: Example) -> str:
    """``video``, ``cut`` (a video that is not one whole file), ``image``, or several."""
    names: Counter[str] = Counter()
    for medium in example.media:
        cut = medium.type is MediaType.VIDEO and len(medium.cut.segments) > 1
        names["cut" if cut else medium.type.value] += 1
    return ", ".join(f"{n} {t}" if n > 1 else t for t, n in sorted(names.items())) or "none"


# ------------------------------------------------------------------------ clips


class Measurer:
    """Seconds, frames and visual tokens of an example's clips; a function for ``map_rows``.

    Opens each file and decodes one frame of it, whose size decides the others'.
    """

    def __init__(self, config: VideoConfig, media_root: str, size_factor: int) -> None:
        self._config, self._root = config, media_root
        self._spec = config.spec(size_factor)
        self._measure = lru_cache(4096)(self._uncached)

    def __call__(self, row: Example | Rejected) -> tuple[Example | Rejected, Measures]:
        """Return the row with ``{"clips": {"seconds": [...], ...}}``, ``failed`` if one failed."""
        found = [self._measure(m) for m in ([] if isinstance(row, Rejected) else row.media)]
        good = [f for f in found if not isinstance(f, str)]
        names = ("seconds", "frames", "visual tokens")
        clips = {"clips": {name: [f[i] for f in good if f[i]] for i, name in enumerate(names)}}
        return row, clips | next(({"failed": f} for f in found if isinstance(f, str)), {})

    def _uncached(self, medium: Media) -> tuple[float, int, int] | str:
        from kinograd.video.decode import decode
        from kinograd.video.faults import ClipError

        try:
            if medium.type is MediaType.VIDEO:
                return self._video(medium)
            frames = decode(medium, self._spec, self._config, self._root).frames
        except ClipError as error:
            return error.reason.value
        except ValueError:  # fewer frames than the spec wants, or a ribbon of a picture
            return "too_few_frames or aspect"
        return 0.0, 1, frames.shape[2] * frames.shape[3] // self._spec.size_factor**2

    def _video(self, medium: Media) -> tuple[float, int, int]:
        from kinograd.video.canvas import Canvas
        from kinograd.video.cut import validate_cut
        from kinograd.video.index_cache import open_video
        from kinograd.video.sample import frame_size, smart_nframes
        from kinograd.video.scale import Scaler

        spec, config = self._spec, self._config
        with ExitStack() as stack:
            readers = {
                path: stack.enter_context(open_video(path, config, self._root))
                for path in medium.cut.paths
            }
            indexes = {path: reader.index for path, reader in readers.items()}
            line = validate_cut(medium.cut, indexes, config.max_duration_s)
            n = smart_nframes(spec, line.frames, line.rate)
            canvas = Canvas(lambda h, w: frame_size(h, w, n, spec), Scaler(spec.resample))
            first = readers[medium.cut.paths[0]]
            _, picture = next(first.frames_at([0]))
            canvas.draw(picture, first.pixel_aspect)
        assert canvas.size is not None
        tokens = canvas.size[0] * canvas.size[1] // spec.size_factor**2
        return line.duration, n, n // spec.frame_factor * tokens


def summarise(
    rows: Iterable[Example | Rejected],
    config: VideoConfig,
    media_root: str | None = None,
    size_factor: int = 28,
    *,
    workers: int = 1,
    backend: str = "local",
    advance: Callable[[], object] = lambda: None,
) -> dict[str, Any]:
    """``Summary.to_json`` of all rows; clips are measured only under a ``media_root``."""
    summary = Summary()
    if media_root is None:
        measured = ((row, {}) for row in rows)
    else:
        make = partial(Measurer, config, media_root, size_factor)
        measured = map_rows(make, rows, workers=workers, backend=backend)
    for row, measures in measured:
        summary.add(row, measures)
        advance()
    return summary.to_json()
