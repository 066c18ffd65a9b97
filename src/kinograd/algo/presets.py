"""What each method makes of a batch: scored groups in, advantages out.

A new algorithm is a section in ``config/algo.py``, a function here (or none, where a
combination of the existing ones is enough) and one line in ``ALGORITHMS``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from kinograd.algo import batch
from kinograd.algo.advantage import Reduce, alone, normalise, usable
from kinograd.algo.relation import is_dynamic, relation_rewards, relation_shares
from kinograd.algo.temporal import order_bonus, order_gate
from kinograd.config.algo import (
    AlgoConfig,
    EmaGrpo,
    Gdpo,
    GroupAlgo,
    ReinforcePP,
    Relation,
    Temporal,
)
from kinograd.types import Group, Kind, UsageError

State = Mapping[str, Any]
"""What an algorithm remembers from step to step: plain JSON, kept in checkpoints."""

Penalties = Sequence[Sequence[np.ndarray]]
"""Per group and rollout float (L,): beta (log pi_old - log pi_ref) of each token."""


@dataclass(frozen=True)
class Advantages:
    """What a batch teaches.

    Attributes:
        groups: per group float (G,), NaN for unscored rollouts; None if it teaches nothing.
        twins: the same for twins that are trained on too; empty if none are.
        tokens: per group and rollout float (L,) where advantages differ between tokens;
            ``groups`` then holds their means.
        state: to be passed to the next step.
    """

    groups: list[np.ndarray | None]
    metrics: dict[str, float] = field(default_factory=dict[str, float])
    twins: list[np.ndarray | None] = field(default_factory=list[np.ndarray | None])
    tokens: list[list[np.ndarray] | None] | None = None
    state: State = field(default_factory=dict[str, Any])


@dataclass(frozen=True)
class Context:
    """What rules get beside the groups."""

    state: State
    reduce: Reduce
    penalties: Penalties | None


def advantages(
    groups: Sequence[Group],
    algo: AlgoConfig,
    state: State | None = None,
    *,
    penalties: Penalties | None = None,
    reduce: Reduce = alone,
) -> Advantages:
    """Run the recipe's algorithm over all groups of a batch.

    Groups without two scored rollouts are dropped: their entry is None.

    Args:
        state: ``Advantages.state`` of the step before.
        penalties: KL in the reward (``kl.place``). Responses' sums are taken off rewards
            (Ahmadian et al. 2024, arXiv 2402.14740); REINFORCE++ does so per token.
        reduce: adds up small arrays over all processes; each then has the same statistics.
    """
    context = Context(state or {}, reduce, penalties)
    index = [i for i, g in enumerate(groups) if usable(g.values)]
    chosen = [groups[i] for i in index]
    if penalties is not None:
        context = replace(context, penalties=[penalties[i] for i in index])
        if not isinstance(algo, ReinforcePP):
            chosen = [_penalised(groups[i], penalties[i]) for i in index]
    result = ALGORITHMS[algo.type](chosen, algo, context)

    def spread(values: Sequence[Any]) -> list[Any]:
        """Back to the places of all groups."""
        places = dict(zip(index, values, strict=True))
        return [places.get(i) for i in range(len(groups))]

    return replace(
        result,
        groups=spread(result.groups),
        twins=spread(result.twins) if result.twins else [],
        tokens=None if result.tokens is None else spread(result.tokens),
    )


def _penalised(group: Group, penalties: Sequence[np.ndarray]) -> Group:
    scores = [
        s if s.value is None else replace(s, value=s.value - float(p.sum()))
        for s, p in zip(group.scores, penalties, strict=True)
    ]
    return replace(group, scores=tuple(scores))


def comparable(group: Group, keep: str) -> bool:
    """Whether dynamic sampling keeps a group: it has right and wrong answers (``correct``;
    DAPO, arXiv 2503.14476), or rewards that differ (``reward``)."""
    values = group.correct.astype(float) if keep == "correct" else group.values
    values = values[group.scored]
    return len(values) >= 2 and float(values.max()) > float(values.min())


# ----------------------------------------------------------------------- rules


def within_groups(groups: Sequence[Group], algo: GroupAlgo, context: Context) -> Advantages:
    """GRPO and all that differ from it in the loss: rollouts compared with their group."""
    values = normalise([g.values for g in groups], algo.advantage, context.reduce)
    return Advantages([*values])


def reinforce_pp(groups: Sequence[Group], algo: ReinforcePP, context: Context) -> Advantages:
    """See ``batch.reinforce_pp``."""
    zeros = [[np.zeros(len(r.token_ids)) for r in g.rollouts] for g in groups]
    tokens = batch.reinforce_pp(
        [g.values for g in groups],
        context.penalties or zeros,
        baseline=algo.baseline,
        reduce=context.reduce,
    )
    means = [np.array([x.mean() if len(x) else np.nan for x in rows]) for rows in tokens]
    return Advantages([*means], tokens=[*tokens])


def gdpo(groups: Sequence[Group], algo: Gdpo, context: Context) -> Advantages:
    """See ``batch.gdpo``.

    Raises:
        UsageError: no rollout of the batch has a reward of one of the names.
    """
    names = {name for g in groups for s in g.scores for name in s.parts}
    if groups and (missing := algo.weights.keys() - names):
        raise UsageError(
            f"algo.weights: no rollout has a reward named {', '.join(sorted(missing))}; "
            f"this recipe's rewards are {', '.join(sorted(names))}"
        )
    parts = [
        {
            name: np.array(
                [np.nan if s.value is None else s.parts.get(name, np.nan) for s in g.scores]
            )
            for name in algo.weights
        }
        for g in groups
    ]
    return Advantages([*batch.gdpo(parts, algo.weights, reduce=context.reduce)])


def ema_grpo(groups: Sequence[Group], algo: EmaGrpo, context: Context) -> Advantages:
    """See ``batch.ema_grpo``; the state is ``{"moments": {kind: [E[R], E[R^2]]}}``."""
    rewards, kinds = [g.values for g in groups], [g.example.kind.value for g in groups]
    moments = batch.updated_moments(
        context.state.get("moments", {}),
        kinds,
        rewards,
        decay=algo.decay,
        every_kind=[k.value for k in Kind],
        reduce=context.reduce,
    )
    values = batch.ema_grpo(rewards, kinds, moments, min_std=algo.min_std, guard=algo.guard)
    metrics = {f"ema/std_{k}": max(b - a * a, 0.0) ** 0.5 for k, (a, b) in moments.items()}
    return Advantages([*values], metrics, state={"moments": moments})


def t_grpo(groups: Sequence[Group], algo: Temporal, context: Context) -> Advantages:
    """Advantages with the temporal bonus, and what its gate did.

    ``temporal/effective_change`` is the largest change of an advantage in a group by the
    bonus, averaged over groups that have a twin.
    """
    gates = [order_gate(g, algo) for g in groups]
    bonuses = [order_bonus(g, gate, algo) for g, gate in zip(groups, gates, strict=True)]
    values = [g.values for g in groups]
    plain = normalise(values, algo.advantage, context.reduce)
    if algo.bonus_on == "reward":
        raised = [v + b for v, b in zip(values, bonuses, strict=True)]
        final = normalise(raised, algo.advantage, context.reduce)
    else:
        final = [a + b for a, b in zip(plain, bonuses, strict=True)]
    compared = [i for i, gate in enumerate(gates) if np.isfinite(gate.ordered)]
    if not compared:
        return Advantages([*final])
    changes = [float(np.nanmax(np.abs(final[i] - plain[i]))) for i in compared]
    metrics = {
        "temporal/gate": float(np.mean([gates[i].open for i in compared])),
        "temporal/ordered": float(np.mean([gates[i].ordered for i in compared])),
        "temporal/shuffled": float(np.mean([gates[i].shuffled for i in compared])),
        "temporal/effective_change": float(np.mean(changes)),
    }
    if algo.gate == "test":
        metrics["temporal/p_value"] = float(np.mean([gates[i].p_value for i in compared]))
    return Advantages([*final], metrics)


def relation(groups: Sequence[Group], algo: Relation, context: Context) -> Advantages:
    """Task and relation reward in both branches, each compared within itself.

    ``relation/dynamic`` and ``relation/static`` are the shares of pairs of answers that
    stand in the right relation (changed, or stayed).
    """
    rewards = {i: relation_rewards(g, algo) for i, g in enumerate(groups) if g.twin}
    own = [rewards[i][0] if i in rewards else g.values for i, g in enumerate(groups)]
    trained = [i for i, (_, other) in rewards.items() if usable(other)]
    values = normalise(own, algo.advantage, context.reduce)
    others = normalise([rewards[i][1] for i in trained], algo.advantage, context.reduce)
    twins = dict(zip(trained, others, strict=True))
    metrics: dict[str, float] = {}
    for name, label in (("dynamic", True), ("static", False)):
        of = [groups[i] for i in rewards if is_dynamic(groups[i].example, algo) is label]
        if of:
            shares = [float(relation_shares(g, label)[0].mean()) for g in of]
            metrics[f"relation/{name}"] = float(np.mean(shares))
    return Advantages([*values], metrics, twins=[twins.get(i) for i in range(len(groups))])


ALGORITHMS: dict[str, Callable[..., Advantages]] = {
    "grpo": within_groups,
    "dr_grpo": within_groups,
    "rloo": within_groups,
    "dapo": within_groups,
    "reinforce_pp": reinforce_pp,
    "gspo": within_groups,
    "gspo_token": within_groups,
    "cispo": within_groups,
    "sapo": within_groups,
    "ema_grpo": ema_grpo,
    "gdpo": gdpo,
    "t_grpo": t_grpo,
    "video_r1": t_grpo,
    "open_r1_video": within_groups,
    "vidbridge": within_groups,
    "video_ktr": within_groups,
    "relation": relation,
}
