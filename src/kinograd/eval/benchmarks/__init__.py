"""Benchmarks: their metrics and their published figures, one YAML file each.

``<name>.yaml`` is the benchmark of data files named ``<name>`` or, as in Video-R1's release,
``eval_<name>``. It lists ``metrics`` (see ``metrics.METRICS``) and ``published`` figures in
percent, by protocol and system; ``sources.yaml`` names the source of each protocol. How a
benchmark is asked (prompt, frames, sampling) is a recipe's matter: ``recipes/eval/``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from kinograd.eval.benchmarks.metrics import METRICS
from kinograd.types import UsageError

_FOLDER = files("kinograd.eval.benchmarks")
_SOURCES = "sources.yaml"


@dataclass(frozen=True)
class Benchmark:
    """One benchmark.

    Attributes:
        metrics: names in ``METRICS``, in the order of columns.
        published: figures in percent, by protocol and system.
    """

    name: str
    metrics: tuple[str, ...]
    published: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Source:
    """Publication of the figures of a protocol, with a note for readers."""

    source: str
    note: str


@cache
def benchmarks() -> dict[str, Benchmark]:
    """Return the known benchmarks by name."""
    names = sorted(f.name for f in _FOLDER.iterdir() if f.name.endswith(".yaml"))
    tables = {name.removesuffix(".yaml"): _read(name) for name in names if name != _SOURCES}
    return {n: Benchmark(n, tuple(t["metrics"]), t["published"]) for n, t in tables.items()}


def find_benchmark(stem: str) -> Benchmark:
    """Return the benchmark of a data file's name; an unknown one has all metrics, no figures."""
    name = stem.removeprefix("eval_")
    return benchmarks().get(name, Benchmark(name, tuple(METRICS)))


def find_source(protocol: str) -> Source:
    """Return the source of a protocol's figures.

    Raises:
        UsageError: no protocol has this name.
    """
    if protocol not in sources():
        known = ", ".join(sources())
        raise UsageError(f"eval.published: no protocol {protocol!r}; one of {known}")
    return sources()[protocol]


@cache
def sources() -> dict[str, Source]:
    """Return the sources of published figures by protocol."""
    return {name: Source(**one) for name, one in _read(_SOURCES).items()}


def _read(name: str) -> dict[str, Any]:
    return yaml.safe_load(_FOLDER.joinpath(name).read_text("utf-8"))
