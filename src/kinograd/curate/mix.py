"""Several files into one: weights, caps, temperature, an order that depends on the seed alone.

In memory are byte offsets and ids, never rows. Every prefix of the mix has about the mix's
proportions; a source gives each of its rows once before it gives one again.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from kinograd.curate.selection import refuse_overwrite
from kinograd.datasets.jsonl import example_from_json, iter_examples, write_examples
from kinograd.keys import generator
from kinograd.types import DataError, Example, UsageError


@dataclass(frozen=True, slots=True)
class Source:
    """One file of the mix.

    Attributes:
        weight: its share, relative to the other weights; None: by its size.
        cap: most rows that it gives.
    """

    path: Path
    weight: float | None = None
    cap: int | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """Rows of the mix that a source gave, of how many that it holds."""

    path: Path
    rows: int
    held: int


def parse_source(text: str) -> Source:
    """Return the source written as ``FILE[=WEIGHT][@CAP]``.

    Raises:
        UsageError: the text has another form.

    >>> parse_source("b.jsonl=0.3@2000")
    Source(path=PosixPath('b.jsonl'), weight=0.3, cap=2000)
    """
    path, cap, weight = text, None, None
    try:
        if "@" in path.rpartition("/")[2]:
            path, _, limit = path.rpartition("@")
            cap = int(limit)
        if "=" in path.rpartition("/")[2]:
            path, _, share = path.rpartition("=")
            weight = float(share)
    except ValueError:
        raise UsageError(f"{text!r}: a source is written FILE=WEIGHT@CAP, a.jsonl=0.5") from None
    if (weight is not None and not 0 < weight < float("inf")) or (cap is not None and cap < 1):
        raise UsageError(f"{text!r}: weight and cap must be positive")
    return Source(Path(path), weight, cap)


def mix(
    sources: Sequence[Source],
    out: Path,
    *,
    rows: int | None = None,
    temperature: float = 1.0,
    seed: int = 0,
    repeat: bool = False,
    prefix: bool = False,
) -> list[Part]:
    """Write the mix of ``sources`` to ``out``.

    Args:
        rows: how many; None: as many as keep the weights without a row twice.
        temperature: without weights p is proportional to n^(1/temperature), n the rows of a
            source up to its cap: 1 by size, larger values more evenly.
        repeat: go through a source again when it is used up; the copies' ids end in ``#2``,
            ``#3``. Otherwise nothing repeats.
        prefix: put the file's stem before every id.

    Raises:
        DataError: a row breaks the contract, or an id is used twice.
        UsageError: no such mix.
    """
    refuse_overwrite(out, *(source.path for source in sources))
    places = [_places(source.path) for source in sources]
    _check_ids(sources, prefix)
    held = [len(p) for p in places]
    counts = allocate(sources, held, rows, temperature, repeat)
    slots = np.repeat(np.arange(len(sources), dtype=np.int32), counts)
    slots = slots[generator(seed, "mix", "slots").permutation(len(slots))]
    with ExitStack() as stack:
        streams = [stack.enter_context(source.path.open("rb")) for source in sources]

        def read(source: int, epoch: int, index: int) -> Example:
            streams[source].seek(places[source][index])
            example = example_from_json(json.loads(streams[source].readline()))
            id = f"{sources[source].path.stem}/{example.id}" if prefix else example.id
            return replace(example, id=f"{id}#{epoch + 1}" if epoch else id)

        def chosen() -> Iterator[Example]:
            turns = [_turns(n, seed, i) for i, n in enumerate(held)]
            for source in slots:
                yield read(int(source), *next(turns[source]))

        write_examples(out, chosen())
    return [Part(s.path, n, h) for s, n, h in zip(sources, counts, held, strict=True)]


def allocate(
    sources: Sequence[Source],
    held: Sequence[int],
    rows: int | None,
    temperature: float,
    repeat: bool,
) -> list[int]:
    """Return the rows that each source gives: exact shares, remainders to the largest fractions.

    A source that reaches its cap leaves the rest to the others, by their weights.

    Raises:
        UsageError: contradicting options, or more rows wanted than there are.
    """
    pools = [min(n, s.cap or n) for s, n in zip(sources, held, strict=True)]
    given = [s.weight is not None for s in sources]
    if any(given) and not all(given):
        missing = next(s.path for s, has in zip(sources, given, strict=True) if not has)
        raise UsageError(f"{missing} has no weight: give one to every file or to none")
    if temperature <= 0 or (temperature != 1 and all(given)):
        raise UsageError("temperature is positive, and goes with files without weights")
    weights = np.array(
        [s.weight or n ** (1 / temperature) for s, n in zip(sources, pools, strict=True)]
    )
    if rows is None:
        total = weights.sum()
        # Rounded first: 0.1 * 30 / 0.1 must not lose a row to the last bit.
        rows = int(min(round(n * total / w, 6) for n, w in zip(pools, weights, strict=True)))
    capped: dict[int, int] = {}
    while True:
        free = [i for i in range(len(sources)) if i not in capped]
        shares = _shares(weights[free], rows - sum(capped.values())) if free else []
        over = {
            i: cap
            for i, n in zip(free, shares, strict=True)
            if (cap := sources[i].cap) is not None and n > cap
        }
        if not over:
            break
        capped |= over
    counts = capped | dict(zip(free, shares, strict=True))
    if sum(counts.values()) < rows:
        raise UsageError(f"{rows} rows wanted, but the caps leave {sum(counts.values())}")
    for i, n in counts.items():
        if n > held[i] and not repeat:
            raise UsageError(
                f"{sources[i].path} has {held[i]} rows and should give {n}: lower rows or its "
                "weight, give it a cap, or set repeat=true"
            )
    return [counts[i] for i in range(len(sources))]


def _shares(weights: np.ndarray, rows: int) -> list[int]:
    """Divide ``rows`` in proportion to ``weights``, whole numbers, by largest remainder."""
    exact = weights / weights.sum() * rows
    counts = np.floor(exact + 1e-9).astype(int)
    order = np.argsort(-(exact - counts), kind="stable")
    counts[order[: rows - counts.sum()]] += 1
    return [int(n) for n in counts]


def _turns(n: int, seed: int, source: int) -> Iterator[tuple[int, int]]:
    """Yield (epoch, row) of a source without end, one permutation after another."""
    epoch = 0
    while True:
        for index in generator(seed, "mix", source, epoch).permutation(n):
            yield epoch, int(index)
        epoch += 1


def _places(path: Path) -> array[int]:
    """Return the byte offset of every row of a file that has some."""
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    places, place = array("Q"), 0
    with path.open("rb") as stream:
        for line in stream:
            places.append(place)
            place += len(line)
    if not places:
        raise DataError(f"{path}: holds no rows")
    return places


def _check_ids(sources: Sequence[Source], prefix: bool) -> None:
    """Check every row and the uniqueness of ids, before anything is written."""
    seen: dict[str, Path] = {}
    for source in sources:
        for example in iter_examples(source.path):
            id = f"{source.path.stem}/{example.id}" if prefix else example.id
            if (first := seen.get(id)) is not None:
                fix = "rename one of the files" if prefix else "set prefix=true to keep both"
                hint = f"; {fix}" if first != source.path else ""
                raise DataError(f"{source.path}: the id {id!r} is used in {first} already{hint}")
            seen[id] = source.path
