"""Which other views of a clip an algorithm wants, and what for.

There are two uses. Rollouts on a twin prompt are compared with the group's own
(T-GRPO, relation rewards). No-grad scoring of the group's own completions under another
view says which tokens depend on what that view destroys (Video-KTR). In both cases the
result reaches the algorithm as numbers: rewards, or a choice of tokens.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from kinograd.algo.relation import counterfactual_view
from kinograd.config.algo import Algo, Relation, Temporal, VideoKtr
from kinograd.types import Example, MediaType, View, ViewKind


@dataclass(frozen=True)
class Twin:
    """``n`` rollouts of ``example`` under ``view``, beside those of its group."""

    example: Example
    view: View
    n: int


def twin(example: Example, algo: Algo, group_size: int) -> Twin | None:
    """The rollouts an algorithm wants on a second view; None for none.

    T-GRPO shuffles videos; image examples get plain GRPO, as published. The twin of a
    relation reward is graded by the answer that is right under its view, where known.
    """
    if all(m.type is not MediaType.VIDEO for m in example.media):
        return None
    if isinstance(algo, Temporal):
        count = algo.twin_rollouts or max(1, group_size // 2)
        return Twin(example, View(ViewKind.SHUFFLED, unit=algo.shuffle_unit), count)
    if isinstance(algo, Relation) and (kind := counterfactual_view(example, algo)):
        answer = str(example.extra.get(algo.counterfactual, example.answer))
        count = algo.twin_rollouts or group_size
        return Twin(replace(example, answer=answer), View(kind), count)
    return None


def scored_views(example: Example, algo: Algo) -> dict[str, View]:
    """Views under which an algorithm wants the group's completions scored, by signal."""
    if not isinstance(algo, VideoKtr):
        return {}
    views: dict[str, View] = {}
    if algo.visual:
        views["visual"] = View(ViewKind.BLANK)
    if algo.temporal and any(m.type is MediaType.VIDEO for m in example.media):
        views["temporal"] = View(ViewKind.SHUFFLED, unit=algo.shuffle_unit)
    return views
