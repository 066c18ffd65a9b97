"""Scores of completions, computed without gradients before the first update of a batch.

The old and the reference policy's log-probs, KL as a part of the reward, and the choice of
tokens by what another view of the clip does to them.

Shape suffixes: P groups, G rollouts of a group, I train items, C completions of an item,
L tokens of a rollout.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from kinograd.algo.base import Algorithm
from kinograd.algo.parts.correction import importance_weights
from kinograd.models.reader import Reader
from kinograd.train.batching import TrainItem
from kinograd.train.groups import TrainGroup, make_train_item
from kinograd.train.learner import Learner
from kinograd.train.reference import Reference
from kinograd.types import KinogradError

# Mean |log-prob of sampler - log-prob of learner| that rounding may cause
TOLERANCE = {"float32": 1e-3, "bfloat16": 5e-2}


def check_rollouts(learner: Learner, items: Sequence[TrainItem], dtype: str) -> float:
    """Compare the sampler's log-probs with the learner's, before anything is trained.

    Raises:
        KinogradError: if they differ beyond rounding: sampler and learner would not be
            reading the same frames, positions or tokens.
    """
    scores_ICL = learner.score(items)
    gaps = [
        np.abs(score_L - c.sampler_logprobs).mean()
        for item, scores_CL in zip(items, scores_ICL, strict=True)
        for c, score_L in zip(item.completions, scores_CL, strict=True)
        if c.sampler_logprobs is not None
    ]
    gap = float(np.mean(gaps)) if gaps else 0.0
    if not gap <= TOLERANCE[dtype]:  # NaN included
        raise KinogradError(
            f"rollouts and learner disagree: log-probs of the same tokens differ by {gap:.2g} on "
            f"average, {TOLERANCE[dtype]:.2g} is allowed for {dtype}; refusing to train"
        )
    return gap


def reward_penalties(
    groups: Sequence[TrainGroup], algo: Algorithm, learner: Learner, reference: Reference | None
) -> list[list[np.ndarray]] | None:
    """Compute beta (log pi_old - log pi_ref) per group, rollout and token (PGL).

    Returns None unless KL is in the reward. Unscored rollouts have zeros. pi_old is the
    sampler, as it is for the rewards.
    """
    if not algo.penalises_rewards:
        return None
    beta = algo.kl.beta
    assert reference is not None
    items = [make_train_item(s.group, s.prompt, s.group.values) for s in groups]
    chosen = [i for i, t in enumerate(items) if t.completions]
    refs_ICL = reference.score(learner, [items[i] for i in chosen])
    gaps = {
        i: iter(
            [c.sampler_logprobs - r_L for c, r_L in zip(items[i].completions, refs_CL, strict=True)]
        )
        for i, refs_CL in zip(chosen, refs_ICL, strict=True)
    }
    return [
        [
            beta * next(gaps[i]) if np.isfinite(value) else np.zeros(len(r.token_ids))
            for r, value in zip(s.group.rollouts, s.group.values, strict=True)
        ]
        for i, s in enumerate(groups)
    ]


def add_ref_logprobs(
    items: Sequence[TrainItem], algo: Algorithm, learner: Learner, reference: Reference | None
) -> list[TrainItem]:
    """Add the reference policy's log-probs where the loss has a KL term."""
    if not algo.needs_ref_logprobs:
        return [*items]
    assert reference is not None
    return _with_fields(items, ref_logprobs=reference.score(learner, items))


def add_old_logprobs(
    items: Sequence[TrainItem], algo: Algorithm, learner: Learner
) -> tuple[list[TrainItem], dict[str, float]]:
    """Add the learner's own log-probs before the first update, where the algorithm needs them.

    With ``algo.correction``, tokens also get importance weights for the difference.
    """
    if not algo.needs_old_logprobs:
        return [*items], {}
    old_ICL = learner.score(items)
    config = algo.correction
    if config is None:
        return _with_fields(items, old_logprobs=old_ICL), {}
    weights_ICL = [
        [
            importance_weights(
                old_L, old_L if c.sampler_logprobs is None else c.sampler_logprobs, config
            )
            for c, old_L in zip(item.completions, old_CL, strict=True)
        ]
        for item, old_CL in zip(items, old_ICL, strict=True)
    ]
    metrics = {}
    if flat := [w_L for weights_CL in weights_ICL for w_L in weights_CL]:
        weights = np.concatenate(flat)
        metrics = {
            "correction/mean": float(weights.mean()),
            "correction/max": float(weights.max()),
            "correction/zero": float((weights == 0).mean()),
        }
    return _with_fields(items, old_logprobs=old_ICL, importance=weights_ICL), metrics


def keep_selected_tokens(
    items: Sequence[TrainItem],
    sources: Sequence[TrainGroup],
    algo: Algorithm,
    learner: Learner,
    reader: Reader,
    step: int,
) -> tuple[list[TrainItem], dict[str, float]]:
    """Leave the tokens that the algorithm does not select out of the loss.

    Items without an advantage keep all tokens: they have no gradient, and are not scored.

    Args:
        sources: the group of each item.
        step: number of the step; keys the shuffles of the algorithm's views.
    """
    if not algo.selects_tokens or not items:
        return [*items], {}
    live = [i for i, t in enumerate(items) if any(c.teaches for c in t.completions)]
    shown_ICL, entropy_ICL = learner.statistics([items[i] for i in live])
    views = [algo.scored_views(sources[i].group.example) for i in live]
    signals_I: list[dict[str, list[np.ndarray]]] = [{"entropy": rows} for rows in entropy_ICL]
    for name in dict.fromkeys(name for v in views for name in v):
        wanted = [j for j, v in enumerate(views) if name in v]
        hidden_ICL = learner.score(
            [
                TrainItem(
                    reader.read(sources[live[j]].group.example, views[j][name], step),
                    items[live[j]].completions,
                )
                for j in wanted
            ]
        )
        for j, hidden_CL in zip(wanted, hidden_ICL, strict=True):
            signals_I[j][name] = [a - b for a, b in zip(shown_ICL[j], hidden_CL, strict=True)]
    out = [*items]
    for i, signals in zip(live, signals_I, strict=True):
        (out[i],) = _with_fields([items[i]], keep=[algo.select_tokens(signals)])
    total = sum(len(c.token_ids) for i in live for c in items[i].completions)
    kept = sum(c.kept for i in live for c in out[i].completions)
    return out, {"key_tokens/share": kept / total} if total else {}


def _with_fields(
    items: Sequence[TrainItem], **values: Sequence[Sequence[np.ndarray]]
) -> list[TrainItem]:
    """Set fields of the completions, each given by item and completion."""
    named: list[Mapping[str, Sequence[np.ndarray]]] = [
        {name: rows[i] for name, rows in values.items()} for i in range(len(items))
    ]
    return [
        TrainItem(
            item.prompt,
            tuple(
                replace(c, **{name: rows[j] for name, rows in fields.items()})
                for j, c in enumerate(item.completions)
            ),
        )
        for item, fields in zip(items, named, strict=True)
    ]
