"""Counterfactual relation reward: answers must change with the video exactly when they should.

After CRPO (Du et al. 2026, arXiv 2605.21988), whose abstract and summaries say: questions
are static, spatial or temporal; a second branch of rollouts sees the clip flipped (spatial)
or time-reversed (temporal); both branches are sampled, rewarded and trained; a relation
reward between their answers wants them different for dynamic questions and equal for static
ones. The rest is ours: the relation reward is the share of the other branch's answers that
are in the right relation to a rollout's own; it is added with a weight; a response without
an answer is in no relation; the counterfactual branch is graded by its own right answer
where the data name one, else by format and relation only; the data say which questions are
dynamic, there is no router.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from kinograd.algo.base import Advantages, GroupAlgorithm, RuleInputs
from kinograd.algo.parts.advantage import is_comparable, normalise
from kinograd.algo.parts.views import Twin, has_video
from kinograd.grading.extract import answer_span, untagged
from kinograd.kinds import KINDS
from kinograd.section import Positive
from kinograd.types import Example, Group, UsageError, View, ViewKind

VIEWS = {"reversed": ViewKind.REVERSED, "flipped": ViewKind.FLIPPED}


class Relation(GroupAlgorithm):
    """Counterfactual relation reward after CRPO (Du et al. 2026, arXiv 2605.21988).

    Both branches, ordered and reversed or flipped, are trained: R + weight times the share of
    the other branch's answers that differ (dynamic questions) or agree (static ones).
    """

    type: Literal["relation"] = "relation"
    view: Literal["reversed", "flipped"] = "reversed"
    """View of the second branch, where the label does not name one itself."""
    weight: float = 0.5
    """Weight of the relation reward, added to the task's."""
    label: str = "dynamic"
    """Key of ``Example.extra``: true, or the name of a view, if that view changes the answer,
    false if it does not. Examples without it get plain GRPO."""
    counterfactual: str = "counterfactual"
    """Key of ``Example.extra`` with the right answer under the view, where it is known."""
    twin_rollouts: Positive | None = None
    """Rollouts on the other view; null: as many as in the group."""

    def twin(self, example: Example, group_size: int) -> Twin | None:
        """Ask for a second branch, graded by the answer under its view where that is known."""
        kind = self.counterfactual_view(example) if has_video(example) else None
        if kind is None:
            return None
        answer = str(example.extra.get(self.counterfactual, example.answer))
        return Twin(replace(example, answer=answer), View(kind), self.twin_rollouts or group_size)

    def rule(self, groups: Sequence[Group], inputs: RuleInputs) -> Advantages:
        """Add task and relation reward in both branches, each compared within itself.

        ``relation/dynamic`` and ``relation/static`` are the shares of pairs of answers in the
        right relation (changed, or equal).
        """
        rewards = {i: self.rewards(g) for i, g in enumerate(groups) if g.twin}
        own_PG = [rewards[i][0] if i in rewards else g.values for i, g in enumerate(groups)]
        trained = [i for i, (_, other_G) in rewards.items() if is_comparable(other_G)]
        advantages_PG = normalise(own_PG, self.advantage)
        others_PG = normalise([rewards[i][1] for i in trained], self.advantage)
        twins = dict(zip(trained, others_PG, strict=True))
        metrics: dict[str, float] = {}
        for name, dynamic in (("dynamic", True), ("static", False)):
            chosen = [groups[i] for i in rewards if self.is_dynamic(groups[i].example) is dynamic]
            if chosen:
                shares = [float(relation_shares(g, dynamic)[0].mean()) for g in chosen]
                metrics[f"relation/{name}"] = float(np.mean(shares))
        return Advantages(
            [*advantages_PG], metrics, twins=[twins.get(i) for i in range(len(groups))]
        )

    def counterfactual_view(self, example: Example) -> ViewKind | None:
        """Return the second branch's view; None if the data do not say how the answers relate.

        Raises:
            UsageError: the label is neither true, false nor the name of a view.
        """
        label = example.extra.get(self.label)
        if label is None:
            return None
        if isinstance(label, bool):
            return VIEWS[self.view]
        if label not in VIEWS:
            raise UsageError(
                f"example {example.id!r}: extra.{self.label} must be true, false, "
                f"{' or '.join(VIEWS)}, not {label!r}"
            )
        return VIEWS[label]

    def is_dynamic(self, example: Example) -> bool:
        """Tell a question whose answer changes under the view."""
        return bool(example.extra.get(self.label))

    def rewards(self, group: Group) -> tuple[np.ndarray, np.ndarray]:
        """Return the rewards of both branches, float (G,) each, NaN where unscored."""
        assert group.twin is not None
        dynamic = self.is_dynamic(group.example)
        own_G, other_G = relation_shares(group, dynamic)
        if dynamic and self.counterfactual not in group.example.extra:
            # The twin was graded by the original answer, which is wrong here by construction.
            base = [
                math.nan if s.value is None else s.parts.get("format", 0.0)
                for s in group.twin.scores
            ]
        else:
            base = group.twin.values
        return group.values + self.weight * own_G, np.asarray(base) + self.weight * other_G


def read_answer(example: Example, text: str) -> str | None:
    """Read the answer in a form in which equal answers are equal; None if there is none."""
    answer = answer_span(text) or untagged(text)
    if answer is None:
        return None
    return KINDS[example.kind].canonical(answer, example.options)


def relation_shares(group: Group, dynamic: bool) -> tuple[np.ndarray, np.ndarray]:
    """Compare the answers of a group with those of its twin.

    Returns:
        Float (G,) for the group and for its twin: for each rollout, the share of the other
        branch whose answer differs (``dynamic``) or agrees.
    """
    assert group.twin is not None
    own, other = ([read_answer(g.example, r.text) for r in g.rollouts] for g in (group, group.twin))
    related = np.array(
        [[a is not None and b is not None and (a != b) == dynamic for b in other] for a in own]
    )
    return related.mean(axis=1), related.mean(axis=0)
