"""From scored groups to policy updates: train items, token weights, minibatches.

Shape legend: P groups, G rollouts of a group, L tokens of a rollout. ``values_PG`` is a list
by group of arrays (G,), ``tokens_GL`` a list by rollout of arrays (L,).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from kinograd.algo.base import Advantages, Algorithm
from kinograd.algo.parts.aggregate import token_weights
from kinograd.algo.parts.loss import policy_loss
from kinograd.config.schema import RlRecipe
from kinograd.keys import generator
from kinograd.models.prompt import Prompt
from kinograd.train.batching import TrainCompletion, TrainItem
from kinograd.train.learner import Learner
from kinograd.types import Group


@dataclass(frozen=True)
class TrainGroup:
    """A group with the prompt that its rollouts answered, and the prompt of its twin."""

    group: Group
    prompt: Prompt
    twin_prompt: Prompt | None = None


def make_train_item(
    group: Group,
    prompt: Prompt,
    advantages_G: np.ndarray,
    advantages_GL: Sequence[np.ndarray] | None = None,
) -> TrainItem:
    """Build the item of one prompt from the rollouts that have an advantage.

    Its weights are zero: they depend on the minibatch (``assign_token_weights``).

    Args:
        advantages_G: (G,), NaN for rollouts that are left out.
        advantages_GL: the advantages per token, where they differ within a rollout.
    """
    completions = tuple(
        TrainCompletion(
            r.token_ids,
            np.zeros(len(r.token_ids), np.float32),
            advantage=np.full(len(r.token_ids), value, np.float32)
            if advantages_GL is None
            else advantages_GL[i].astype(np.float32),
            sampler_logprobs=r.logprobs,
        )
        for i, (r, value) in enumerate(zip(group.rollouts, advantages_G, strict=True))
        if np.isfinite(value)
    )
    return TrainItem(prompt, completions)


def make_train_items(
    groups: Sequence[TrainGroup], advantages: Advantages
) -> tuple[list[TrainItem], list[TrainGroup]]:
    """Build one item per group that has advantages, then one per twin that has.

    Returns:
        The items, and for each of them the group (or twin) that it was made of.
    """
    none = [None] * len(groups)
    found: list[tuple[TrainItem, TrainGroup]] = []
    for source, values_G, values_GL in zip(
        groups, advantages.groups, advantages.tokens or none, strict=True
    ):
        if values_G is not None and np.isfinite(values_G).any():
            item = make_train_item(source.group, source.prompt, values_G, values_GL)
            found.append((item, source))
    for source, values_G in zip(groups, advantages.twins or none, strict=True):
        twin, prompt = source.group.twin, source.twin_prompt
        if values_G is not None and twin is not None and prompt is not None:
            found.append((make_train_item(twin, prompt, values_G), TrainGroup(twin, prompt)))
    return [item for item, _ in found], [source for _, source in found]


def assign_token_weights(
    items: Sequence[TrainItem], algo: Algorithm, max_new_tokens: int
) -> list[TrainItem]:
    """Set every token's weight from one minibatch; drop items without a gradient.

    An item whose advantages are all zero has no gradient without KL, but its tokens count
    in the normalisers all the same. Tokens that are not kept count nowhere.
    """
    completions = [c for item in items for c in item.completions]
    kept = [c.kept for c in completions]
    if not any(kept):
        return []
    weights = token_weights(kept, algo.aggregate, max_new_tokens)
    placed = iter([_place(w_L, c) for w_L, c in zip(weights, completions, strict=True)])
    out = [
        TrainItem(i.prompt, tuple(replace(c, weight=next(placed)) for c in i.completions))
        for i in items
    ]
    if algo.needs_ref_logprobs:
        return out
    return [item for item in out if any(c.teaches for c in item.completions)]


def _place(weights: np.ndarray, completion: TrainCompletion) -> np.ndarray:
    """Put the weights of kept tokens at their places among all; return float32 (L,)."""
    if completion.keep is None:
        return weights
    out = np.zeros(len(completion.token_ids), np.float32)
    out[completion.keep] = weights
    return out


def update(
    learner: Learner, items: Sequence[TrainItem], recipe: RlRecipe, step: int
) -> dict[str, float]:
    """Take the optimizer steps of one batch of rollouts.

    Returns:
        Mean loss of the updates, and figures averaged over the tokens of the groups that
        have a gradient.
    """
    algo, limit = recipe.algo, recipe.sampling.max_new_tokens
    loss = partial(policy_loss, algo=algo)
    sums: dict[str, float] = defaultdict(float)
    figures: dict[str, float] = {"optim/updates": 0.0}
    for epoch in range(algo.epochs):
        order = generator(recipe.run.seed, "minibatches", step, epoch).permutation(len(items))
        for part in np.array_split(order, algo.minibatches):
            batch = assign_token_weights([items[i] for i in sorted(part)], algo, limit)
            if not batch:
                continue
            added = learner.accumulate(batch, loss, token_local=algo.token_local)
            for name, value in added.items():
                sums[name] += value
            made = learner.step()
            figures |= {"optim/grad_norm": made["grad_norm"], "optim/lr": made["lr"]}
            figures["optim/updates"] += 1
    if figures["optim/updates"]:
        figures["policy/loss"] = sums.pop("loss") / figures["optim/updates"]
    weight = sums.pop("weight", 0.0)
    averaged = {f"policy/{name}": value / weight for name, value in sums.items() if weight}
    return figures | averaged
