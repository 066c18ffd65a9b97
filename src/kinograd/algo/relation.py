"""Counterfactual relation reward: answers must change with the video exactly when they should.

After CRPO (Du et al. 2026, arXiv 2605.21988), whose abstract and summaries say: questions
are static, spatial or temporal; a second branch of rollouts sees the clip flipped (spatial)
or time-reversed (temporal); both branches are sampled, rewarded and trained; a relation
reward between their answers wants them different for dynamic questions and equal for static
ones. The rest is ours: the relation reward is the share of the other branch's answers that
stand in the right relation to a rollout's own; it is added with a weight; a response without
an answer is in no relation; the counterfactual branch is graded by its own right answer
where the data name one, else by format and relation alone; the data say which questions are
dynamic, there is no router.

Imports its sibling kinograd.rewards, to read answers as the graders do.
"""

from __future__ import annotations

import math

import numpy as np

from kinograd.config.algo import Relation
from kinograd.grading.extract import answer_span, untagged
from kinograd.kinds import KINDS
from kinograd.types import Example, Group, UsageError, ViewKind

VIEWS = {"reversed": ViewKind.REVERSED, "flipped": ViewKind.FLIPPED}


def counterfactual_view(example: Example, algo: Relation) -> ViewKind | None:
    """The second branch's view; None if the data do not say how the answers relate.

    Raises:
        UsageError: the label is neither true, false nor the name of a view.
    """
    label = example.extra.get(algo.label)
    if label is None:
        return None
    if isinstance(label, bool):
        return VIEWS[algo.view]
    if label not in VIEWS:
        raise UsageError(
            f"example {example.id!r}: extra.{algo.label} must be true, false, "
            f"{' or '.join(VIEWS)}, not {label!r}"
        )
    return VIEWS[label]


def is_dynamic(example: Example, algo: Relation) -> bool:
    """Whether the view changes this question's answer."""
    return bool(example.extra.get(algo.label))


def read_answer(example: Example, text: str) -> str | None:
    """The answer in a form in which equal answers are equal; None if there is none."""
    answer = answer_span(text) or untagged(text)
    if answer is None:
        return None
    return KINDS[example.kind].canonical(answer, example.options)


def relation_shares(group: Group, dynamic: bool) -> tuple[np.ndarray, np.ndarray]:
    """float (G,) and (G~,): with what share of the other branch a rollout is in relation."""
    assert group.twin is not None
    own, other = ([read_answer(g.example, r.text) for r in g.rollouts] for g in (group, group.twin))
    related = np.array(
        [[a is not None and b is not None and (a != b) == dynamic for b in other] for a in own]
    )
    return related.mean(axis=1), related.mean(axis=0)


def relation_rewards(group: Group, algo: Relation) -> tuple[np.ndarray, np.ndarray]:
    """Rewards of both branches, (G,) and (G~,), NaN where unscored."""
    assert group.twin is not None
    dynamic = is_dynamic(group.example, algo)
    own, other = relation_shares(group, dynamic)
    if dynamic and algo.counterfactual not in group.example.extra:
        # Graded by the original answer, which is wrong here by construction
        base = [
            math.nan if s.value is None else s.parts.get("format", 0.0) for s in group.twin.scores
        ]
    else:
        base = group.twin.values
    return group.values + algo.weight * own, np.asarray(base) + algo.weight * other
