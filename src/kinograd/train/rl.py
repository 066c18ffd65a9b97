"""Reinforcement from answers, on one page: read, roll out, score, advantage, update.

GRPO and its relatives; what differs between them is in ``kinograd.algo``. The group
(one example under one view, G rollouts) is the unit everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from kinograd.algo.base import RuleInputs
from kinograd.config.schema import RlRecipe
from kinograd.datasets.sampler import batch_indices
from kinograd.judge import JudgeOutage
from kinograd.models.prompt import Prompt
from kinograd.progress import progress
from kinograd.rewards.score import score_groups
from kinograd.rollout.engine import Engine, Request
from kinograd.train.groups import Sample, make_tasks, update
from kinograd.train.learner import Learner
from kinograd.train.logprobs import (
    check_rollouts,
    reward_penalties,
    with_old,
    with_reference,
    with_selected_tokens,
)
from kinograd.train.rl_metrics import Stopwatch, group_metrics, sampling_metrics
from kinograd.train.session import Session, open_session
from kinograd.types import ORDERED, Example, Group


def train_rl(recipe: RlRecipe) -> Path:
    """Run or resume the recipe; returns the folder of the last checkpoint's model."""
    per_step = recipe.algo.epochs * min(recipe.algo.minibatches, recipe.rl.prompts_per_step)
    learner = partial(
        Learner,
        config=recipe.optim,
        total_steps=recipe.rl.steps * per_step,
        temperature=recipe.sampling.temperature,
        ban_vision=True,
    )
    with open_session(recipe, learner) as session:
        return _loop(session, recipe)


def _loop(session: Session, recipe: RlRecipe) -> Path:
    steps, algo = recipe.rl.steps, recipe.algo
    engine = session.policy.engine
    checked = False
    with progress(steps, recipe.name or "rl", done=session.start) as bar:
        for step in range(session.start, steps):
            watch = Stopwatch()
            session.begin_step(step)
            batch = sample_or_stop(engine, session, recipe, step, watch)

            penalties = reward_penalties(batch.kept, session, recipe)
            groups = [s.group for s in batch.kept]
            result = algo.advantages(groups, RuleInputs(session.algo_state, penalties))
            session.algo_state = result.state

            tasks, samples = make_tasks(batch.kept, result)
            if tasks and not checked:
                check_rollouts(session.learner, tasks, recipe.model.dtype)
                checked = True
            tasks, corrected = with_old(tasks, session, recipe)
            tasks, focused = with_selected_tokens(tasks, samples, session, recipe, step)
            tasks = with_reference(tasks, session, recipe)
            watch.lap("prepare")

            sums = update(session.learner, tasks, recipe, step)
            engine.sync(session.learner.updates)
            if session.reference is not None:
                session.reference.follow(step + 1)
            watch.lap("update")

            every = [*groups, *batch.dropped]
            if step % recipe.run.log_rollouts_every == 0 or step + 1 == steps:
                taught = [*result.groups, *[None] * len(batch.dropped)]
                session.keep_rollouts(step, every, taught)
            metrics = group_metrics(every, result) | sampling_metrics(batch.tries, batch.dropped)
            metrics |= corrected | focused | sums | watch.times
            metrics |= session.judge_metrics()
            metrics["video/wait_s"] = session.policy.reader.store.take_wait_s()
            session.end_step(step + 1, steps, **metrics)
            bar.advance(reward=metrics["reward/mean"], length=metrics["length/mean"])
    return session.run.files.model(steps)


@dataclass(frozen=True)
class Batch:
    """The groups a step trains on, and those that dynamic sampling left out."""

    kept: list[Sample]
    dropped: list[Group]
    tries: int


def sample_or_stop(
    engine: Engine, session: Session, recipe: RlRecipe, step: int, watch: Stopwatch
) -> Batch:
    """``sample``; when a judge stays away, the run is saved as it was before this step.

    Raises:
        JudgeOutage: after the checkpoint; the same command goes on from it.
    """
    before = session.drawn, session.seen, session.failed
    try:
        return sample(engine, session, recipe, step, watch)
    except JudgeOutage:
        session.drawn, session.seen, session.failed = before
        session.save(step)
        raise


def sample(
    engine: Engine, session: Session, recipe: RlRecipe, step: int, watch: Stopwatch
) -> Batch:
    """Scored groups for one update.

    With dynamic sampling (DAPO, arXiv 2503.14476), batches of prompts are drawn
    until ``prompts_per_step`` groups have something to compare, or tries run out. Which
    prompts come next depends on the number of batches drawn alone, so a run resumes.
    """
    size, dynamic = recipe.rl.prompts_per_step, recipe.algo.dynamic
    kept: list[Sample] = []
    dropped: list[Group] = []
    tries = 0
    while not tries or (dynamic and len(kept) < size and tries < dynamic.max_tries):
        pairs = session.read(_prompts(session, recipe, session.drawn), step)
        upcoming = _prompts(session, recipe, session.drawn + 1)
        session.policy.reader.store.prefetch([m for e in upcoming for m in e.media])
        watch.lap("read")
        samples = roll_out(engine, session, recipe, pairs, step)
        watch.lap("rollout")
        groups = score_groups([s.group for s in samples], recipe.reward, session.judges)
        watch.lap("score")
        session.drawn += 1
        tries += 1
        for s, group in zip(samples, groups, strict=True):
            if dynamic and (len(kept) == size or not dynamic.keeps(group)):
                dropped.append(group)
            else:
                kept.append(replace(s, group=group))
    return Batch(kept, dropped, tries)


def _prompts(session: Session, recipe: RlRecipe, draw: int) -> list[Example]:
    examples = session.examples
    indices = batch_indices(draw, recipe.rl.prompts_per_step, len(examples), recipe.run.seed)
    # Where two epochs meet an example may come twice; its rollouts would be the same.
    return [examples[i] for i in dict.fromkeys(indices)]


def roll_out(
    engine: Engine,
    session: Session,
    recipe: RlRecipe,
    pairs: Sequence[tuple[Example, Prompt]],
    step: int,
) -> list[Sample]:
    """G rollouts per example on ordered frames, and its twin on the algorithm's other view."""
    requests = [Request(e, ORDERED, prompt, recipe.rl.group_size) for e, prompt in pairs]
    twins: dict[int, Request] = {}
    for i, (example, _) in enumerate(pairs):
        wanted = recipe.algo.twin(example, recipe.rl.group_size)
        if wanted is not None:
            prompt = session.policy.reader.read(example, wanted.view, step)
            twins[i] = Request(wanted.example, wanted.view, prompt, wanted.n)
    groups = engine.generate(
        [*requests, *twins.values()], recipe.sampling, key=(recipe.run.seed, session.drawn)
    )
    other = dict(zip(twins, groups[len(requests) :], strict=True))
    return [
        Sample(replace(groups[i], twin=other[i]), r.prompt, twins[i].prompt)
        if i in twins
        else Sample(groups[i], r.prompt)
        for i, r in enumerate(requests)
    ]
