"""Which functions each method combines: scored groups in, advantages out.

A new algorithm is one file beside this one and one line in ``ALGORITHMS``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from kinograd.algo.advantage import ADVANTAGES, usable
from kinograd.algo.temporal import temporal_advantages
from kinograd.config.schema import Algo, Grpo, TGrpo
from kinograd.types import Example, Group, MediaType, View, ViewKind


@dataclass(frozen=True)
class Advantages:
    """Per group: float (G,) with NaN for unscored rollouts, or None if it teaches nothing."""

    groups: list[np.ndarray | None]
    metrics: dict[str, float]


def grpo(groups: Sequence[Group], algo: Algo) -> Advantages:
    """Advantages within each group; groups without two scored rollouts are dropped."""
    normalise = ADVANTAGES[algo.advantage]
    return Advantages([normalise(g.values) if usable(g.values) else None for g in groups], {})


def t_grpo(groups: Sequence[Group], algo: TGrpo) -> Advantages:
    """Advantages with the temporal bonus, and what its gate did."""
    results = [temporal_advantages(g, algo) if usable(g.values) else None for g in groups]
    gated = [r for r in results if r is not None and np.isfinite(r.ordered)]
    metrics = {}
    if gated:
        metrics = {
            "temporal/gate": float(np.mean([r.gate for r in gated])),
            "temporal/ordered": float(np.mean([r.ordered for r in gated])),
            "temporal/shuffled": float(np.mean([r.shuffled for r in gated])),
            "temporal/effective_change": float(np.mean([r.effective_change for r in gated])),
        }
    return Advantages([None if r is None else r.advantages for r in results], metrics)


ALGORITHMS: dict[type[Algo], Callable[..., Advantages]] = {Grpo: grpo, TGrpo: t_grpo}


def advantages(groups: Sequence[Group], algo: Algo) -> Advantages:
    """Run the recipe's algorithm."""
    return ALGORITHMS[type(algo)](groups, algo)


def twin(example: Example, algo: Algo, group_size: int) -> tuple[View, int] | None:
    """The second view an algorithm wants rollouts on, and how many; None for none.

    T-GRPO shuffles videos; image examples get plain GRPO, as published.
    """
    if not isinstance(algo, TGrpo) or all(m.type is not MediaType.VIDEO for m in example.media):
        return None
    count = algo.twin_rollouts or max(1, group_size // 2)
    return View(ViewKind.SHUFFLED, unit=algo.shuffle_unit), count
