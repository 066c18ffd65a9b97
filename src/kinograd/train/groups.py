"""From scored groups to policy updates: tasks, weights, minibatches."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from kinograd.algo.base import Advantages
from kinograd.algo.parts.aggregate import token_weights
from kinograd.algo.parts.loss import policy_loss
from kinograd.config.schema import RlRecipe
from kinograd.keys import generator
from kinograd.models.prompt import Prompt
from kinograd.train.batching import TrainCompletion, TrainItem
from kinograd.train.learner import Learner
from kinograd.types import Group


@dataclass(frozen=True)
class Sample:
    """A group with the prompt that its rollouts answered, and its twin's."""

    group: Group
    prompt: Prompt
    twin: Prompt | None = None


def make_task(
    group: Group,
    prompt: Prompt,
    advantages: np.ndarray,
    tokens: Sequence[np.ndarray] | None = None,
) -> TrainItem:
    """One prompt with the rollouts that have an advantage.

    Weights are still zero: they depend on how the batch is split (``weighted``).

    Args:
        advantages: (G,), NaN for rollouts that are left out.
        tokens: advantages per token, (L,) per rollout, where they differ.
    """
    completions = tuple(
        TrainCompletion(
            r.token_ids,
            np.zeros(len(r.token_ids), np.float32),
            advantage=np.full(len(r.token_ids), value, np.float32)
            if tokens is None
            else tokens[i].astype(np.float32),
            sampler_logprobs=r.logprobs,
        )
        for i, (r, value) in enumerate(zip(group.rollouts, advantages, strict=True))
        if np.isfinite(value)
    )
    return TrainItem(prompt, completions)


def make_tasks(
    samples: Sequence[Sample], result: Advantages
) -> tuple[list[TrainItem], list[Sample]]:
    """One task per group that has advantages, then one per twin that has; their samples."""
    nothing = [None] * len(samples)
    found: list[tuple[TrainItem, Sample]] = []
    for sample, values, tokens in zip(
        samples, result.groups, result.tokens or nothing, strict=True
    ):
        if values is not None and np.isfinite(values).any():
            found.append((make_task(sample.group, sample.prompt, values, tokens), sample))
    for sample, values in zip(samples, result.twins or nothing, strict=True):
        if values is not None and sample.group.twin is not None and sample.twin is not None:
            other = Sample(sample.group.twin, sample.twin)
            found.append((make_task(other.group, other.prompt, values), other))
    return [task for task, _ in found], [sample for _, sample in found]


def weighted(tasks: Sequence[TrainItem], recipe: RlRecipe) -> list[TrainItem]:
    """Set every token's weight from the whole minibatch; drop tasks that cannot teach.

    A task whose advantages are all zero has no gradient without KL, but its tokens count
    in the normalisers all the same. Tokens that are not kept count nowhere.
    """
    algo = recipe.algo
    completions = [c for t in tasks for c in t.completions]
    kept = [c.kept for c in completions]
    if not any(kept):
        return []
    values = token_weights(kept, algo.aggregate, recipe.sampling.max_new_tokens)
    weights = iter([_spread(w, c) for w, c in zip(values, completions, strict=True)])
    out = [
        TrainItem(t.prompt, tuple(replace(c, weight=next(weights)) for c in t.completions))
        for t in tasks
    ]
    if algo.needs_ref_logprobs:
        return out
    return [t for t in out if any(c.teaches for c in t.completions)]


def _spread(weights: np.ndarray, completion: TrainCompletion) -> np.ndarray:
    """Weights of kept tokens at their places among all, float32 (L,)."""
    if completion.keep is None:
        return weights
    out = np.zeros(len(completion.token_ids), np.float32)
    out[completion.keep] = weights
    return out


def update(
    learner: Learner, tasks: Sequence[TrainItem], recipe: RlRecipe, step: int
) -> dict[str, float]:
    """The optimizer steps of one batch of rollouts.

    Returns the mean loss of its updates, and figures averaged over the tokens of the
    groups that teach.

    With one pass and one minibatch the policy is the one that sampled: the ratio is one
    by construction, and clipping has nothing to do.
    """
    algo = recipe.algo
    loss = partial(policy_loss, algo=algo)
    sums: dict[str, float] = defaultdict(float)
    figures: dict[str, float] = {"optim/updates": 0.0}
    for epoch in range(algo.epochs):
        order = generator(recipe.run.seed, "minibatches", step, epoch).permutation(len(tasks))
        for part in np.array_split(order, algo.minibatches):
            batch = weighted([tasks[i] for i in sorted(part)], recipe)
            if not batch:
                continue
            for name, value in learner.accumulate(
                batch, loss, token_local=algo.token_local
            ).items():
                sums[name] += value
            made = learner.step()
            figures |= {"optim/grad_norm": made["grad_norm"], "optim/lr": made["lr"]}
            figures["optim/updates"] += 1
    if figures["optim/updates"]:
        figures["policy/loss"] = sums.pop("loss") / figures["optim/updates"]
    weight = sums.pop("weight", 0.0)
    averaged = {f"policy/{name}": value / weight for name, value in sums.items() if weight}
    return figures | averaged
