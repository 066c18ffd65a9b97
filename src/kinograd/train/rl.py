"""Reinforcement from answers, on one page: read, roll out, score, advantage, update.

GRPO and its relatives; what differs between them is in ``kinograd.algo``. The group
(one example under one view, G rollouts) is the unit everywhere.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path

from kinograd.algo.presets import advantages, twin
from kinograd.config.schema import RlRecipe
from kinograd.data.sampler import batch_indices
from kinograd.models.prompt import Prompt
from kinograd.progress import progress
from kinograd.rewards.score import score_groups
from kinograd.rollout.engine import Engine, Request
from kinograd.rollout.in_process import InProcessEngine
from kinograd.train.learner import Learner
from kinograd.train.policy import check_rollouts, make_tasks, update, with_reference
from kinograd.train.rl_metrics import group_metrics
from kinograd.train.session import Session, open_session
from kinograd.types import ORDERED, Example, Group


def train_rl(recipe: RlRecipe) -> Path:
    """Run or resume the recipe; returns the folder of the last checkpoint's model."""
    learner = partial(
        Learner,
        config=recipe.optim,
        total_steps=recipe.rl.steps * recipe.algo.epochs * recipe.algo.minibatches,
        temperature=recipe.sampling.temperature,
        ban_vision=True,
    )
    session = open_session(recipe, learner)
    try:
        return _loop(session, recipe)
    finally:
        session.close()


def _loop(session: Session, recipe: RlRecipe) -> Path:
    rl, algo, seed = recipe.rl, recipe.algo, recipe.run.seed
    engine = InProcessEngine(session.model, recipe.rollout)

    def batch(step: int) -> list[Example]:
        indices = batch_indices(step, rl.prompts_per_step, len(session.examples), seed)
        return [session.examples[i] for i in indices]

    with progress(rl.steps, recipe.name or "rl", done=session.start) as bar:
        for step in range(session.start, rl.steps):
            clock = [time.perf_counter()]
            session.begin_step(step)
            pairs = session.read(batch(step), step)
            session.reader.store.prefetch([m for e in batch(step + 1) for m in e.media])
            clock.append(time.perf_counter())

            groups = roll_out(engine, session, recipe, pairs, step)
            clock.append(time.perf_counter())

            groups = score_groups(groups, recipe.reward, session.judges)
            result = advantages(groups, algo)
            clock.append(time.perf_counter())

            tasks = make_tasks(groups, [prompt for _, prompt in pairs], result.groups)
            if step == session.start:
                check_rollouts(session.learner, tasks, recipe.model.dtype)
            tasks = with_reference(tasks, session)
            sums = update(session.learner, tasks, recipe, step)
            clock.append(time.perf_counter())

            if step % recipe.run.log_rollouts_every == 0 or step + 1 == rl.steps:
                session.keep_rollouts(step, groups, result.groups)
            metrics = group_metrics(groups, result) | sums
            metrics["video/wait_s"] = session.reader.store.take_wait_s()
            stages = ("read", "rollout", "score", "update")
            for stage, (a, b) in zip(stages, pairwise(clock), strict=True):
                metrics[f"time/{stage}_s"] = b - a
            metrics["time/step_s"] = clock[-1] - clock[0]
            session.end_step(step + 1, rl.steps, **metrics)
            bar.advance(reward=metrics["reward/mean"], length=metrics["length/mean"])
    return session.run.path / "checkpoints" / f"step-{rl.steps}" / "model"


def roll_out(
    engine: Engine,
    session: Session,
    recipe: RlRecipe,
    pairs: Sequence[tuple[Example, Prompt]],
    step: int,
) -> list[Group]:
    """G rollouts per example on ordered frames, and its twin on the algorithm's other view."""
    requests = [Request(e, ORDERED, prompt, recipe.rl.group_size) for e, prompt in pairs]
    twins: dict[int, Request] = {}
    for i, (example, _) in enumerate(pairs):
        wanted = twin(example, recipe.algo, recipe.rl.group_size)
        if wanted is not None:
            view, n = wanted
            twins[i] = Request(example, view, session.reader.read(example, view, step), n)
    groups = engine.generate(
        [*requests, *twins.values()], recipe.sampling, key=(recipe.run.seed, step)
    )
    twin_of = dict(zip(twins, groups[len(requests) :], strict=True))
    return [replace(g, twin=twin_of.get(i)) for i, g in enumerate(groups[: len(requests)])]
