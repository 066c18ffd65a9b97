"""Small line charts of metrics: grouping of series, and the geometry of the SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

WIDTH, HEIGHT = 380, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 14, 8, 22
_MAX_POINTS = 300
_SMOOTH_FROM = 60  # points beyond which single steps are noise to the eye
_SAME_SCALE = 12.0  # series of one topic share a chart up to this ratio of magnitudes
_MAX_SERIES = 6
# Series that read better together than with their topic.
_SHARES = ("reward/correct", "reward/no_spread", "length/truncated", "clip_fraction")
_COUNTS = ("reward/dropped_groups", "reward/unscored_")
_FIRST = ("reward", "shares", "eval", "loss", "policy", "length", "kl", "entropy", "left out")
_ONE_UNIT = ("reward", "shares", "left out", "length", "time")  # topics that stay together

Points = list[tuple[float, float]]


@dataclass(frozen=True)
class Series:
    """One line: path data as drawn, its smoothed path if any, and single points to mark."""

    name: str
    path: str
    smooth: str
    marks: Points
    last: str


@dataclass(frozen=True)
class Chart:
    """One small chart in view-box units of ``WIDTH`` x ``HEIGHT``.

    Attributes:
        ticks_x, ticks_y: (position, label).
        broken: x positions of steps with a value that was not finite.
        data: x positions and values per series, for the read-out under the pointer.
    """

    title: str
    series: list[Series]
    ticks_x: list[tuple[float, str]]
    ticks_y: list[tuple[float, str]]
    broken: list[float]
    note: str
    data: dict[str, Any]


def make_charts(metrics: Sequence[dict[str, Any]]) -> list[Chart]:
    """Lay out the charts of a run's ``metrics.jsonl``: one per topic (``topic/name``) and scale."""
    series: dict[str, Points] = {}
    broken: dict[str, list[int]] = {}
    for record in metrics:
        for name, value in record.items():
            if name in ("step", "time", "nonfinite") or isinstance(value, bool | str):
                continue
            points = series.setdefault(name, [])
            if value is not None:
                points.append((record["step"], float(value)))
        for name in record.get("nonfinite", {}):
            broken.setdefault(name, []).append(record["step"])
    layout = _layout(series)
    return [_chart(title, {n: series[n] for n in names}, broken) for title, names in layout]


def number(value: float) -> str:
    """Format a number in at most four significant digits, without a needless exponent."""
    if value == 0:
        return "0"
    if 1e-3 <= abs(value) < 1e5:
        return f"{value:.4g}" if abs(value) < 1e4 else f"{value:.0f}"
    digits, exponent = f"{value:.2e}".split("e")
    return f"{float(digits):g}e{int(exponent)}"


def _layout(series: dict[str, Points]) -> list[tuple[str, list[str]]]:
    """Group series into charts (title, names): by topic, split where scales differ."""
    charts: list[tuple[str, list[str]]] = []
    for name in sorted(series, key=_rank):
        topic, size = _topic(name), _magnitude(series[name])
        for title, names in charts:
            other = max(_magnitude(series[n]) for n in names)
            near = max(size, other) <= _SAME_SCALE * min(size, other) or 0 in (size, other)
            fits = topic != name and (near or topic in _ONE_UNIT)
            if title == topic and fits and len(names) < _MAX_SERIES:
                names.append(name)
                break
        else:
            charts.append((topic, [name]))
    return [(names[0] if len(names) == 1 else title, names) for title, names in charts]


def _topic(name: str) -> str:
    if name in _SHARES:
        return "shares"
    return "left out" if name.startswith(_COUNTS) else name.split("/")[0]


def _rank(name: str) -> int:
    """Rank a series: topics of ``_FIRST`` in that order, the others as logged, time last."""
    topic = _topic(name)
    return _FIRST.index(topic) if topic in _FIRST else len(_FIRST) + (topic == "time")


def _magnitude(points: Points) -> float:
    return max((abs(y) for _, y in points), default=0.0)


def _chart(title: str, series: dict[str, Points], broken: dict[str, list[int]]) -> Chart:
    drawn = {name: _thin(points) for name, points in series.items()}
    bad = sorted({step for name in series for step in broken.get(name, [])})
    xs = [x for points in drawn.values() for x, _ in points] + bad
    ys = [y for points in drawn.values() for _, y in points]
    low_x, high_x = _widen(min(xs, default=0), max(xs, default=1))
    ticks_y = _ticks(*_span(ys))
    low_y, high_y = ticks_y[0], ticks_y[-1]

    def px(x: float) -> float:
        return round(_LEFT + (x - low_x) / (high_x - low_x) * (WIDTH - _LEFT - _RIGHT), 1)

    def py(y: float) -> float:
        return round(
            HEIGHT - _BOTTOM - (y - low_y) / (high_y - low_y) * (HEIGHT - _TOP - _BOTTOM), 1
        )

    lines: list[Series] = []
    window = 1
    for name, points in drawn.items():
        placed = [(px(x), py(y)) for x, y in points]
        smooth = ""
        if len(points) > _SMOOTH_FROM:
            window = max(5, len(points) // 20)
            smooth = _path([(px(x), py(y)) for x, y in _running_mean(points, window)])
        marks = placed if len(points) <= 30 else []
        last = number(points[-1][1]) if points else "–"
        short = name.removeprefix(f"{title}/")
        lines.append(Series(short, _path(placed), smooth, marks, last))
    steps = sorted({x for points in drawn.values() for x, _ in points})
    values = {n: dict(points) for n, points in drawn.items()}
    return Chart(
        title=title,
        series=lines,
        ticks_x=[
            (px(x), number(x)) for x in _ticks(low_x, high_x, 5, whole=True) if low_x <= x <= high_x
        ],
        ticks_y=[(py(y), number(y)) for y in ticks_y],
        broken=[px(x) for x in bad],
        note=_note(series, drawn, window),
        data={
            "x": [px(x) for x in steps],
            "step": [number(x) for x in steps],
            "y": [[_shown(values[n].get(x)) for x in steps] for n in drawn],
        },
    )


def _note(series: dict[str, Points], drawn: dict[str, Points], window: int) -> str:
    notes = []
    if any(len(drawn[n]) < len(series[n]) for n in series):
        notes.append("each point is a mean over neighbouring steps")
    if window > 1:
        notes.append(f"bold: running mean of {window} points")
    return "; ".join(notes)


def _shown(value: float | None) -> str:
    return "–" if value is None else number(value)


def _thin(points: Points) -> Points:
    """Average neighbouring points until at most ``_MAX_POINTS`` are left."""
    size = math.ceil(len(points) / _MAX_POINTS)
    if size <= 1:
        return points
    bins = [points[i : i + size] for i in range(0, len(points), size)]
    return [(sum(x for x, _ in b) / len(b), sum(y for _, y in b) / len(b)) for b in bins]


def _running_mean(points: Points, window: int) -> Points:
    """Compute the centred mean, over a shorter window at both ends."""
    half = window // 2
    out: Points = []
    for i, (x, _) in enumerate(points):
        near = points[max(0, i - half) : i + half + 1]
        out.append((x, sum(y for _, y in near) / len(near)))
    return out


def _path(points: Points) -> str:
    return "M" + " ".join(f"{x:g},{y:g}" for x, y in points) if points else ""


def _span(values: list[float]) -> tuple[float, float]:
    """Choose the range of the y axis, from zero where the data come near it."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    if 0 < low < 0.5 * high:
        low = 0.0
    if 0.5 * low < high < 0:
        high = 0.0
    return _widen(low, high)


def _widen(low: float, high: float) -> tuple[float, float]:
    if low < high:
        return low, high
    if low == 0:
        return 0.0, 1.0
    return low - abs(low) / 10, high + abs(low) / 10


def _ticks(low: float, high: float, wanted: int = 4, whole: bool = False) -> list[float]:
    """List about ``wanted`` round numbers that cover ``low`` to ``high``."""
    raw = (high - low) / wanted
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999)
    step = max(1.0, math.ceil(step)) if whole else step
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]
