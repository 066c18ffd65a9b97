"""``data stats`` as one HTML page that needs nothing else: tables, bars drawn as SVG."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from kinograd.files import atomic_text

WIDTH, HEIGHT = 380, 130
_BARS = 24
_LOG_FROM = 50.0
"""Ratio of largest to smallest number from which a histogram's axis is logarithmic."""


def write_page(summary: dict[str, Any], title: str, out: Path) -> None:
    """Write the page of a ``Summary.to_json``, atomically."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("kinograd.curate"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    numbers = {name: found for name, found in summary["numbers"].items() if found["n"]}
    page = environment.get_template("stats.html.j2").render(
        title=title,
        summary=summary,
        numbers=numbers,
        histograms={name: histogram(found["bins"]) for name, found in numbers.items()},
        width=WIDTH,
        height=HEIGHT,
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    atomic_text(out, page)


def histogram(bins: list[tuple[float, int]]) -> list[tuple[float, float, float, float, str]]:
    """Bars (x, y, width, height, label) in view-box units from (value, count), ascending."""
    low, high = bins[0][0], bins[-1][0]
    logarithmic = low > 0 and high / low >= _LOG_FROM
    place = math.log if logarithmic else float
    left, span = place(low), (place(high) - place(low)) or 1.0
    heights, least, most = [0] * _BARS, [math.inf] * _BARS, [-math.inf] * _BARS
    for value, count in bins:
        bar = min(_BARS - 1, int((place(value) - left) / span * _BARS))
        heights[bar] += count
        least[bar], most[bar] = min(least[bar], value), max(most[bar], value)
    each, tallest = WIDTH / _BARS, max(heights)
    bars = []
    for i, count in enumerate(heights):
        if count:
            tall = max(1.0, count / tallest * HEIGHT)
            label = f"{least[i]:g}" if least[i] == most[i] else f"{least[i]:g} to {most[i]:g}"
            bars.append((round(i * each, 1), HEIGHT - tall, each - 1, tall, f"{label}: {count}"))
    return bars
