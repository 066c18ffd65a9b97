"""Metrics of one training step, under the names that logs and reports use.

Shape suffixes: G rollouts of a group, R rollouts of all groups.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

from kinograd.algo.base import Advantages
from kinograd.types import Group, StopReason


class Stopwatch:
    """Seconds that a step spends per stage (``time/<stage>_s``) and in total (``time/step_s``)."""

    def __init__(self) -> None:
        self.times: dict[str, float] = defaultdict(float)
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        """Add the seconds since the last lap to ``time/<stage>_s`` and ``time/step_s``."""
        now = time.perf_counter()
        self.times[f"time/{stage}_s"] += now - self._last
        self.times["time/step_s"] += now - self._last
        self._last = now


def sampling_metrics(tries: int, dropped: Sequence[Group]) -> dict[str, float]:
    """Count the batches drawn and the groups dropped by dynamic sampling.

    Returns an empty table where one batch was drawn and all of it is used.
    """
    if tries == 1 and not dropped:
        return {}
    return {"sampling/tries": float(tries), "sampling/dropped_groups": float(len(dropped))}


def group_metrics(groups: Sequence[Group], result: Advantages) -> dict[str, float]:
    """Summarise rewards and lengths of the ordered view, with the algorithm's own metrics.

    ``reward/*`` are means over scored rollouts, ``length/*`` (tokens) cover all rollouts.
    ``reward/no_spread`` is the share of groups whose rewards are all equal, which have no
    gradient; ``reward/dropped_groups`` and ``reward/unscored_<reason>`` are counts.

    Args:
        groups: all groups drawn, those that dynamic sampling dropped included.
        result: advantages of the groups that the step trains on.
    """
    rollouts = [r for g in groups for r in g.rollouts]
    scores = [s for g in groups for s in g.scores]
    if not rollouts:
        return {"reward/mean": float("nan"), "length/mean": float("nan"), "rollouts": 0.0}
    scored = [s for s in scores if s.unscored is None]
    values = [s.value for s in scored if s.value is not None]
    lengths_R = np.array([len(r.token_ids) for r in rollouts])
    spread = [float(np.nanmax(g.values) - np.nanmin(g.values)) for g in groups if g.scored.any()]
    metrics = {
        "reward/mean": float(np.mean(values)) if values else float("nan"),
        "reward/std": float(np.std(values)) if values else float("nan"),
        "reward/correct": float(np.mean([s.correct for s in scored])) if scored else float("nan"),
        "reward/no_spread": float(np.mean([x == 0 for x in spread])) if spread else 1.0,
        "reward/dropped_groups": float(sum(a is None for a in result.groups)),
        "length/mean": float(lengths_R.mean()),
        "length/max": float(lengths_R.max()),
        "length/truncated": float(np.mean([r.stop is StopReason.LENGTH for r in rollouts])),
        "rollouts": float(len(rollouts)),
    }
    parts: dict[str, list[float]] = {}
    for score in scores:
        for name, value in score.parts.items():
            parts.setdefault(name, []).append(value)
    metrics |= {f"reward/{name}": float(np.mean(v)) for name, v in parts.items()}
    reasons = Counter(s.unscored.value for s in scores if s.unscored is not None)
    metrics |= {f"reward/unscored_{name}": float(n) for name, n in reasons.items()}
    return metrics | result.metrics
