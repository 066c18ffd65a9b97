"""From scored groups to policy updates: tasks, reference log-probs, weights, minibatches."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from kinograd.algo.aggregate import token_weights
from kinograd.algo.loss import policy_loss
from kinograd.config.schema import RlRecipe
from kinograd.keys import generator
from kinograd.models.adapters import adapter_off
from kinograd.models.prompt import Prompt
from kinograd.train.batching import Completion, Task
from kinograd.train.learner import Learner
from kinograd.types import Group, KinogradError

if TYPE_CHECKING:
    from kinograd.train.session import Session

# Mean |log-prob of sampler - log-prob of learner| that rounding may cause
TOLERANCE = {"float32": 1e-3, "bfloat16": 5e-2}


def make_tasks(
    groups: Sequence[Group],
    prompts: Sequence[Prompt],
    advantages: Sequence[np.ndarray | None],
) -> list[Task]:
    """One task per group that has advantages; unscored rollouts are left out.

    Weights are still zero: they depend on how the batch is split (``weighted``).
    """
    tasks = []
    for group, prompt, values in zip(groups, prompts, advantages, strict=True):
        if values is None:
            continue
        completions = tuple(
            Completion(
                r.token_ids,
                np.zeros(len(r.token_ids), np.float32),
                advantage=np.full(len(r.token_ids), value, np.float32),
                old=r.logprobs,
            )
            for r, value in zip(group.rollouts, values, strict=True)
            if np.isfinite(value)
        )
        tasks.append(Task(prompt, completions))
    return tasks


def check_rollouts(learner: Learner, tasks: Sequence[Task], dtype: str) -> float:
    """Compare the sampler's log-probs with the learner's, before anything is trained.

    Raises:
        KinogradError: if they differ beyond rounding: sampler and learner would not be
            reading the same frames, positions or tokens.
    """
    scores = learner.score(tasks)
    gaps = [
        np.abs(row - c.old).mean()
        for task, rows in zip(tasks, scores, strict=True)
        for c, row in zip(task.completions, rows, strict=True)
        if c.old is not None
    ]
    gap = float(np.mean(gaps)) if gaps else 0.0
    if gap > TOLERANCE[dtype]:
        raise KinogradError(
            f"rollouts and learner disagree: log-probs of the same tokens differ by {gap:.2g} on "
            f"average, {TOLERANCE[dtype]:.2g} is allowed for {dtype}; refusing to train"
        )
    return gap


def with_reference(tasks: list[Task], session: Session) -> list[Task]:
    """Add the reference policy's log-probs where the recipe's KL needs them."""
    recipe = session.recipe
    if not isinstance(recipe, RlRecipe) or not recipe.algo.kl.beta or not tasks:
        return tasks
    if recipe.rl.reference == "adapter_off":
        with adapter_off(session.model.lm.model):
            scores = session.learner.score(tasks)
    else:
        scores = session.learner.score(tasks, session.reference)
    return [
        Task(t.prompt, tuple(replace(c, ref=r) for c, r in zip(t.completions, rows, strict=True)))
        for t, rows in zip(tasks, scores, strict=True)
    ]


def weighted(tasks: Sequence[Task], recipe: RlRecipe) -> list[Task]:
    """Set every token's weight from the whole minibatch; drop tasks that cannot teach.

    A task whose advantages are all zero has no gradient without KL, but its tokens count
    in the normalisers all the same.
    """
    lengths = [len(c.token_ids) for t in tasks for c in t.completions]
    if not lengths:
        return []
    weights = iter(token_weights(lengths, recipe.algo.aggregate, recipe.sampling.max_new_tokens))
    out = [
        Task(t.prompt, tuple(replace(c, weight=next(weights)) for c in t.completions))
        for t in tasks
    ]
    if recipe.algo.kl.beta:
        return out
    return [
        t for t in out if any(c.advantage is not None and c.advantage.any() for c in t.completions)
    ]


def update(
    learner: Learner, tasks: Sequence[Task], recipe: RlRecipe, step: int
) -> dict[str, float]:
    """The optimizer steps of one batch of rollouts; returns figures averaged over tokens.

    With one pass and one minibatch the policy is the one that sampled: the ratio is one
    by construction, and clipping has nothing to do.
    """
    algo = recipe.algo
    on_policy = algo.epochs == algo.minibatches == 1
    loss = partial(policy_loss, algo=algo, on_policy=on_policy)
    sums: dict[str, float] = defaultdict(float)
    figures: dict[str, float] = {"optim/updates": 0.0}
    for epoch in range(algo.epochs):
        order = generator(recipe.run.seed, "minibatches", step, epoch).permutation(len(tasks))
        for part in np.array_split(order, algo.minibatches):
            batch = weighted([tasks[i] for i in sorted(part)], recipe)
            if not batch:
                continue
            for name, value in learner.accumulate(batch, loss).items():
                sums[name] += value
            made = learner.step()
            figures |= {"optim/grad_norm": made["grad_norm"], "optim/lr": made["lr"]}
            figures["optim/updates"] += 1
    weight = sums.pop("weight", 0.0)
    averaged = {f"policy/{name}": value / weight for name, value in sums.items() if weight}
    return figures | averaged
