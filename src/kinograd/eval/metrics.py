"""From evaluation records to figures with intervals; numpy only, so that reports can use it.

An evaluation writes one ``EvalRecord`` per (example, view). Unscored answers and errors
are counted and left out of accuracy; ``at_least`` is the accuracy if they all were wrong.
Intervals cover 95 %. Questions about one video are not independent, so intervals and
tests of differences resample videos, not questions.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from kinograd import files
from kinograd.keys import generator
from kinograd.types import DataError, StopReason, ViewKind

_Z = 1.959963984540054  # 97.5 % quantile of the standard normal distribution
_DRAWS = 10_000
_CHUNK = 1 << 22  # cluster counts drawn at once: 32 MiB

Interval = tuple[float, float]


class EvalRecord(TypedDict):
    """One answer of an evaluation: a line of ``eval/<name>.jsonl``."""

    id: str
    view: str
    kind: str
    source: str
    family: str
    """``extra.family`` of the example, else its source."""
    video: str
    """Cluster of the record: the example's first media path."""
    answer: str
    """Gold answer."""
    prediction: str | None
    """Answer extracted from ``text``."""
    text: str
    value: float | None
    correct: bool
    unscored: str | None
    error: str | None
    """Reason why there is no answer at all, for instance a clip that could not be decoded."""
    length: int
    """Tokens of the response."""
    stop: str | None


# ------------------------------------------------------------------ statistics


def wilson(k: float, n: int) -> Interval:
    """Score interval of a share of ``k`` in ``n`` (Wilson 1927); (0, 1) when n is 0."""
    if n == 0:
        return 0.0, 1.0
    p, z2 = k / n, _Z * _Z
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    low = 0.0 if k == 0 else centre - half  # exact at the ends, where rounding would show
    return low, 1.0 if k == n else centre + half


def cluster_bootstrap(
    values: Sequence[float] | np.ndarray, clusters: Sequence[str], seed: int = 0
) -> Interval:
    """Percentile interval of the mean when whole clusters are drawn with replacement.

    With one cluster nothing is known about the spread between clusters: (nan, nan).
    """
    _, index = np.unique(np.asarray(clusters), return_inverse=True)
    sums = np.bincount(index, weights=np.asarray(values, dtype=float))
    if len(sums) < 2:
        return float("nan"), float("nan")
    # Clusters with the same sum and size are interchangeable: drawing how many of each
    # sort is the same as drawing clusters, and there are few sorts of right and wrong.
    sorts, times = np.unique(
        np.stack([sums, np.bincount(index)], axis=1), axis=0, return_counts=True
    )
    rng = generator(seed, "bootstrap")
    means: list[np.ndarray] = []
    for done in range(0, _DRAWS, size := max(1, _CHUNK // len(sorts))):
        drawn = rng.multinomial(len(sums), times / len(sums), size=min(size, _DRAWS - done))
        total, count = (drawn @ sorts).T
        means.append(total / count)
    low, high = np.quantile(np.concatenate(means), [0.025, 0.975])
    return float(low), float(high)


def paired_bootstrap(
    a: Sequence[float] | np.ndarray,
    b: Sequence[float] | np.ndarray,
    clusters: Sequence[str],
    seed: int = 0,
) -> tuple[float, float, float]:
    """Mean of ``b - a`` over pairs, with its clustered interval: (difference, low, high)."""
    difference = np.asarray(b, dtype=float) - np.asarray(a, dtype=float)
    return (float(difference.mean()), *cluster_bootstrap(difference, clusters, seed))


def mcnemar(a: Sequence[bool] | np.ndarray, b: Sequence[bool] | np.ndarray) -> float:
    """Exact two-sided p of "both are right equally often" over pairs (McNemar 1947).

    Only pairs on which the two differ tell; under the null each of them is a fair coin,
    so p is twice the smaller binomial tail.
    """
    a, b = np.asarray(a, dtype=bool), np.asarray(b, dtype=bool)
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    n, fewer = only_a + only_b, min(only_a, only_b)
    term, tail = 1, 1
    for i in range(fewer):
        term = term * (n - i) // (i + 1)  # binomial coefficient (n, i + 1), exact
        tail += term
    return min(1.0, 2 * tail / 2**n)


def accuracy_interval(correct: Sequence[bool] | np.ndarray, clusters: Sequence[str]) -> Interval:
    """Interval of an accuracy: Wilson's for independent answers, else clustered bootstrap.

    Where the bootstrap has no width (all videos equal) or no meaning (one video), Wilson's
    interval is taken with as many trials as there are videos.
    """
    right, videos = np.asarray(correct, dtype=float), len(set(clusters))
    if videos == len(right):
        return wilson(right.sum(), videos)
    low, high = cluster_bootstrap(right, clusters)
    return (low, high) if low < high else wilson(right.mean() * videos, videos)


# ------------------------------------------------------------------- summaries


def read_records(path: Path) -> list[EvalRecord]:
    """Read the records of one evaluation.

    Raises:
        DataError: there is no such file, it holds something else, or an (id, view) occurs
            twice.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such evaluation; an evaluation writes eval/<name>.jsonl")
    found: list[Any] = files.read_records(path)
    for number, row in enumerate(found, start=1):
        if lacking := sorted(EvalRecord.__required_keys__ - row.keys()):
            raise DataError(f"{path}:{number}: not a record of an evaluation (no {lacking[0]!r})")
    counted = Counter((r["id"], r["view"]) for r in found)
    if twice := [key for key, times in counted.items() if times > 1]:
        raise DataError(f"{path}: {twice[0]} occurs {counted[twice[0]]} times; delete the file")
    return found


def summarise(records: Sequence[EvalRecord]) -> dict[str, Any]:
    """Figures of one evaluation, as JSON.

    Returns:
        ``views``: a cell (see ``_cell``) per view, which has under ``by`` the cells of its
        families, kinds and sources; all of the main view's entries (``ordered`` if it was
        evaluated) on the top level too; ``view``, its name; ``gaps``, main minus other view
        (see ``_paired``).

    Raises:
        DataError: there are no records.
    """
    if not records:
        raise DataError("an evaluation without records has no figures")
    views = _split(records, lambda r: r["view"])
    main = ViewKind.ORDERED.value if ViewKind.ORDERED in views else next(iter(views))
    cells = {view: _cell(rows) | {"by": _breakdown(rows)} for view, rows in views.items()}
    gaps = {view: _paired(rows, views[main]) for view, rows in views.items() if view != main}
    return {**cells[main], "view": main, "views": cells, "gaps": gaps}


def compare(a: Path, b: Path) -> dict[str, Any]:
    """Evaluation ``b`` against ``a``, answer by answer; see ``compare_records``."""
    return compare_records(read_records(a), read_records(b))


def compare_records(a: Sequence[EvalRecord], b: Sequence[EvalRecord]) -> dict[str, Any]:
    """Paired differences ``b - a`` per view, and per family of the main view.

    Returns:
        ``view``, the main one, with its figures (see ``_paired``); ``views`` and
        ``families``, the same figures for each.

    Raises:
        DataError: no example is in both, or the gold answer of one differs.
    """
    gold = {(r["id"], r["view"]): r["answer"] for r in a}
    for record in b:
        key = (record["id"], record["view"])
        if gold.get(key, record["answer"]) != record["answer"]:
            raise DataError(f"example {key[0]} has another gold answer in each evaluation")
    views_a, views_b = _split(a, lambda r: r["view"]), _split(b, lambda r: r["view"])
    shared = [v for v in views_a if v in views_b]
    paired = {v: _paired(views_a[v], views_b[v]) for v in shared}
    if not any(cell["pairs"] + cell["unscored"] for cell in paired.values()):
        raise DataError("the two evaluations share no example and view; nothing to compare")
    main = ViewKind.ORDERED.value if ViewKind.ORDERED in paired else shared[0]
    families_a = _split(views_a[main], lambda r: r["family"])
    families_b = _split(views_b[main], lambda r: r["family"])
    families = {f: _paired(families_a[f], families_b[f]) for f in families_a if f in families_b}
    return {**paired[main], "view": main, "views": paired, "families": families}


def _cell(records: Sequence[EvalRecord]) -> dict[str, Any]:
    """Figures of a set of answers.

    ``n`` = ``scored`` + unscored (by reason) + ``errors``; accuracy, its interval and the
    mean value are over the scored, length and ``truncated`` (a share) over all but errors.
    ``majority`` is what the commonest gold answer of each family would get on all ``n``.
    """
    scored = [r for r in records if _is_scored(r)]
    answered = [r for r in records if r["error"] is None]
    correct = np.array([r["correct"] for r in scored], dtype=bool)
    videos = [r["video"] for r in scored]
    low, high = accuracy_interval(correct, videos) if scored else (None, None)
    values = np.array([r["value"] for r in scored], dtype=float)
    lengths = np.array([r["length"] for r in answered])
    cut = np.array([r["stop"] == StopReason.LENGTH for r in answered])
    common = _split(records, lambda r: r["family"]).values()
    majority = sum(max(Counter(r["answer"] for r in rows).values()) for rows in common)
    return {
        "n": len(records),
        "scored": len(scored),
        "unscored": dict(Counter(r["unscored"] for r in answered if r["unscored"])),
        "errors": len(records) - len(answered),
        "videos": len({r["video"] for r in records}),
        "correct": int(correct.sum()),
        "accuracy": float(correct.mean()) if scored else None,
        "low": low,
        "high": high,
        "at_least": int(correct.sum()) / len(records),
        "value": float(values.mean()) if scored else None,
        "majority": majority / len(records),
        "length": {"mean": float(lengths.mean()), "max": int(lengths.max())} if answered else None,
        "truncated": float(cut.mean()) if answered else None,
    }


def _paired(a: Sequence[EvalRecord], b: Sequence[EvalRecord]) -> dict[str, Any]:
    """Accuracy of ``b`` minus that of ``a`` over the examples both have scored.

    ``pairs`` of them; ``unscored`` examples are in both but not scored in both,
    ``unpaired`` ones in one only. ``only_a`` and ``only_b`` count pairs that just that one
    got right, which is all McNemar's test (``p``) looks at.
    """
    in_b = {r["id"]: r for r in b}
    both = [(r, in_b[r["id"]]) for r in a if r["id"] in in_b]
    pairs = [(x, y) for x, y in both if _is_scored(x) and _is_scored(y)]
    cell: dict[str, Any] = {
        "pairs": len(pairs),
        "unscored": len(both) - len(pairs),
        "unpaired": len(a) + len(b) - 2 * len(both),
    }
    names = ("a", "b", "difference", "low", "high", "p", "only_a", "only_b")
    if not pairs:
        return cell | dict.fromkeys(names)
    right_a = np.array([x["correct"] for x, _ in pairs], dtype=bool)
    right_b = np.array([y["correct"] for _, y in pairs], dtype=bool)
    difference, low, high = _difference(right_a, right_b, [x["video"] for x, _ in pairs])
    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    accuracies = float(right_a.mean()), float(right_b.mean())
    figures = (*accuracies, difference, low, high, mcnemar(right_a, right_b), only_a, only_b)
    return cell | dict(zip(names, figures, strict=True))


def _difference(
    a: np.ndarray, b: np.ndarray, clusters: Sequence[str]
) -> tuple[float, float | None, float | None]:
    """``paired_bootstrap``, with a width where the bootstrap has none.

    Where all pairs differ equally, up to Wilson's bound for no event in as many trials as
    there are clusters might have differed otherwise. One cluster has no interval.
    """
    if len(set(clusters)) == 1:
        return float(b.mean() - a.mean()), None, None
    difference, low, high = paired_bootstrap(a, b, clusters)
    if low == high:
        unseen = wilson(0, len(set(clusters)))[1]
        return difference, max(-1.0, difference - unseen), min(1.0, difference + unseen)
    return difference, low, high


def _is_scored(record: EvalRecord) -> bool:
    return record["error"] is None and record["unscored"] is None


def _breakdown(records: Sequence[EvalRecord]) -> dict[str, dict[str, dict[str, Any]]]:
    """Cells by family, kind and source, each by name."""
    keys: dict[str, Callable[[EvalRecord], str]] = {
        "family": lambda r: r["family"],
        "kind": lambda r: r["kind"],
        "source": lambda r: r["source"],
    }
    split = {what: _split(records, key) for what, key in keys.items()}
    return {w: {n: _cell(rows) for n, rows in sorted(s.items())} for w, s in split.items()}


def _split(
    records: Sequence[EvalRecord], key: Callable[[EvalRecord], str]
) -> Mapping[str, list[EvalRecord]]:
    groups: dict[str, list[EvalRecord]] = {}
    for record in records:
        groups.setdefault(key(record), []).append(record)
    return groups
