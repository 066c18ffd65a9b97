"""Reinforcement from answers, on one page: sample, compare, update, log.

GRPO and its relatives; ``kinograd.algo`` holds what differs between them. The group (one
example under one view, G rollouts) is the unit everywhere.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from kinograd.algo.base import RuleInputs
from kinograd.config.schema import RlRecipe
from kinograd.progress import progress
from kinograd.train.groups import make_train_items, update
from kinograd.train.learner import Learner
from kinograd.train.logprobs import (
    add_old_logprobs,
    add_ref_logprobs,
    check_rollouts,
    keep_selected_tokens,
    reward_penalties,
)
from kinograd.train.rl_metrics import Stopwatch, group_metrics, sampling_metrics
from kinograd.train.sampling import sample_batch
from kinograd.train.session import Session, open_session


def train_rl(recipe: RlRecipe) -> Path:
    """Run or resume the recipe; return the folder of the last checkpoint's model."""
    per_step = recipe.algo.epochs * min(recipe.algo.minibatches, recipe.rl.prompts_per_step)
    make_learner = partial(
        Learner,
        config=recipe.optim,
        total_steps=recipe.rl.steps * per_step,
        temperature=recipe.sampling.temperature,
        ban_vision=True,
    )
    with open_session(recipe, make_learner) as session:
        return _loop(session)


def _loop(session: Session[RlRecipe]) -> Path:
    recipe, policy, learner = session.recipe, session.policy, session.learner
    algo, reference, steps = recipe.algo, session.reference, recipe.rl.steps
    checked = False
    with progress(steps, recipe.name or "rl", done=session.start) as bar:
        for step in range(session.start, steps):
            watch = Stopwatch()
            session.begin_step(step)
            batch = sample_batch(session, step, watch)

            penalties_PGL = reward_penalties(batch.kept, algo, learner, reference)
            inputs = RuleInputs(session.counts.algo, penalties_PGL)
            advantages = algo.advantages(batch.groups, inputs)
            session.counts.algo = advantages.state

            items, sources = make_train_items(batch.kept, advantages)
            if items and not checked:
                check_rollouts(learner, items, recipe.model.dtype)
                checked = True
            items, old_metrics = add_old_logprobs(items, algo, learner)
            items, token_metrics = keep_selected_tokens(
                items, sources, algo, learner, policy.reader, step
            )
            items = add_ref_logprobs(items, algo, learner, reference)
            watch.lap("prepare")

            update_metrics = update(learner, items, recipe, step)
            policy.engine.sync(learner.updates)
            if reference is not None:
                reference.follow(step + 1)
            watch.lap("update")

            if step % recipe.run.log_rollouts_every == 0 or step + 1 == steps:
                session.keep_rollouts(step, batch.groups, batch.dropped, advantages.groups)
            metrics = group_metrics([*batch.groups, *batch.dropped], advantages)
            metrics |= sampling_metrics(batch.tries, batch.dropped)
            metrics |= old_metrics | token_metrics | update_metrics | watch.times
            session.end_step(step + 1, steps, metrics | session.judge_metrics())
            bar.advance(reward=metrics["reward/mean"], length=metrics["length/mean"])
    return session.run.files.model(steps)
