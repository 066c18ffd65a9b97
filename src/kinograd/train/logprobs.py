"""No-grad scoring of completions, before the first update of a batch: reference and old
policy, KL as part of the reward, and which tokens depend on what another view destroys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from kinograd.algo.parts.correction import importance_weights
from kinograd.config.schema import RlRecipe
from kinograd.train.batching import TrainItem
from kinograd.train.groups import Sample, make_task
from kinograd.train.learner import Learner
from kinograd.train.session import Session
from kinograd.types import KinogradError

# Mean |log-prob of sampler - log-prob of learner| that rounding may cause
TOLERANCE = {"float32": 1e-3, "bfloat16": 5e-2}


def check_rollouts(learner: Learner, tasks: Sequence[TrainItem], dtype: str) -> float:
    """Compare the sampler's log-probs with the learner's, before anything is trained.

    Raises:
        KinogradError: if they differ beyond rounding: sampler and learner would not be
            reading the same frames, positions or tokens.
    """
    scores = learner.score(tasks)
    gaps = [
        np.abs(row - c.sampler_logprobs).mean()
        for task, rows in zip(tasks, scores, strict=True)
        for c, row in zip(task.completions, rows, strict=True)
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
    samples: Sequence[Sample], session: Session, recipe: RlRecipe
) -> list[list[np.ndarray]] | None:
    """beta (log pi_old - log pi_ref) per group, rollout and token, where KL is in the reward.

    Zeros for unscored rollouts. With ``old`` from the sampler, as the rewards are.
    """
    if not recipe.algo.penalises_rewards:
        return None
    beta = recipe.algo.kl.beta
    assert session.reference is not None
    tasks = [make_task(s.group, s.prompt, s.group.values) for s in samples]
    chosen = [i for i, t in enumerate(tasks) if t.completions]
    scored = session.reference.score(session.learner, [tasks[i] for i in chosen])
    rows = {
        i: iter(
            [c.sampler_logprobs - ref for c, ref in zip(tasks[i].completions, refs, strict=True)]
        )
        for i, refs in zip(chosen, scored, strict=True)
    }
    return [
        [
            beta * next(rows[i]) if np.isfinite(value) else np.zeros(len(r.token_ids))
            for r, value in zip(s.group.rollouts, s.group.values, strict=True)
        ]
        for i, s in enumerate(samples)
    ]


def with_reference(
    tasks: Sequence[TrainItem], session: Session, recipe: RlRecipe
) -> list[TrainItem]:
    """Add the reference policy's log-probs where the loss has a KL term."""
    if not recipe.algo.needs_ref_logprobs:
        return [*tasks]
    assert session.reference is not None
    return _filled(tasks, ref_logprobs=session.reference.score(session.learner, tasks))


def with_old(
    tasks: Sequence[TrainItem], session: Session, recipe: RlRecipe
) -> tuple[list[TrainItem], dict[str, float]]:
    """Add the learner's own log-probs before the first update, where the algorithm needs them.

    With ``algo.correction``, tokens also get importance weights for the difference.
    """
    if not recipe.algo.needs_old_logprobs:
        return [*tasks], {}
    scores = session.learner.score(tasks)
    config = recipe.algo.correction
    if config is None:
        return _filled(tasks, old_logprobs=scores), {}
    weights = [
        [
            importance_weights(
                own, own if c.sampler_logprobs is None else c.sampler_logprobs, config
            )
            for c, own in zip(task.completions, rows, strict=True)
        ]
        for task, rows in zip(tasks, scores, strict=True)
    ]
    flat = [x for rows in weights for x in rows]
    metrics = {}
    if flat:
        joined = np.concatenate(flat)
        metrics = {
            "correction/mean": float(joined.mean()),
            "correction/max": float(joined.max()),
            "correction/zero": float((joined == 0).mean()),
        }
    return _filled(tasks, old_logprobs=scores, importance=weights), metrics


def with_selected_tokens(
    tasks: Sequence[TrainItem],
    samples: Sequence[Sample],
    session: Session,
    recipe: RlRecipe,
    step: int,
) -> tuple[list[TrainItem], dict[str, float]]:
    """Leave the tokens that the algorithm does not select out of the loss.

    Args:
        samples: one per task. Tasks without an advantage are not scored.
    """
    algo = recipe.algo
    if not algo.selects_tokens or not tasks:
        return [*tasks], {}
    learner, reader = session.learner, session.policy.reader
    live = [i for i, t in enumerate(tasks) if any(c.teaches for c in t.completions)]
    shown, entropies = learner.statistics([tasks[i] for i in live])
    views = [algo.scored_views(samples[i].group.example) for i in live]
    signals: list[dict[str, list[np.ndarray]]] = [{"entropy": rows} for rows in entropies]
    for name in dict.fromkeys(name for v in views for name in v):
        wanted = [j for j, v in enumerate(views) if name in v]
        hidden = learner.score(
            [
                TrainItem(
                    reader.read(samples[live[j]].group.example, views[j][name], step),
                    tasks[live[j]].completions,
                )
                for j in wanted
            ]
        )
        for j, rows in zip(wanted, hidden, strict=True):
            signals[j][name] = [a - b for a, b in zip(shown[j], rows, strict=True)]
    out = [*tasks]
    for i, signal in zip(live, signals, strict=True):
        (out[i],) = _filled([tasks[i]], keep=[algo.select_tokens(signal)])
    total = sum(len(c.token_ids) for i in live for c in tasks[i].completions)
    kept = sum(c.kept for i in live for c in out[i].completions)
    return out, {"key_tokens/share": kept / total} if total else {}


def _filled(
    tasks: Sequence[TrainItem], **values: Sequence[Sequence[np.ndarray]]
) -> list[TrainItem]:
    """The tasks with fields of their completions set, each by task and completion."""
    named: list[Mapping[str, Sequence[np.ndarray]]] = [
        {name: rows[i] for name, rows in values.items()} for i in range(len(tasks))
    ]
    return [
        TrainItem(
            task.prompt,
            tuple(
                replace(c, **{name: rows[j] for name, rows in fields.items()})
                for j, c in enumerate(task.completions)
            ),
        )
        for task, fields in zip(tasks, named, strict=True)
    ]
