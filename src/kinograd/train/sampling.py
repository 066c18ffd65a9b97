"""Sampling of one step's groups: read prompts, sample rollouts, score them, redraw where asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from kinograd.config.schema import RlRecipe
from kinograd.datasets.sampler import batch_indices
from kinograd.judge import JudgeOutage
from kinograd.models.prompt import Prompt
from kinograd.rollout.engine import Request, awake
from kinograd.train.groups import TrainGroup
from kinograd.train.rl_metrics import Stopwatch
from kinograd.train.session import Session
from kinograd.types import ORDERED, Example, Group


@dataclass(frozen=True)
class Batch:
    """Scored groups of one step.

    Attributes:
        kept: the groups that the step trains on.
        dropped: the groups that dynamic sampling left out.
        tries: number of batches of prompts that were drawn.
    """

    kept: list[TrainGroup]
    dropped: list[Group]
    tries: int

    @property
    def groups(self) -> list[Group]:
        """Return the groups that the step trains on, without their prompts."""
        return [kept.group for kept in self.kept]


def sample_batch(session: Session[RlRecipe], step: int, watch: Stopwatch) -> Batch:
    """Sample and score the groups of one step.

    Raises:
        JudgeOutage: a judge stayed away; the run was saved as it was before this step, and
            the same command resumes it.
    """
    before = replace(session.counts)
    try:
        return _sample_batch(session, step, watch)
    except JudgeOutage:
        session.counts = before
        session.save(step)
        raise


def _sample_batch(session: Session[RlRecipe], step: int, watch: Stopwatch) -> Batch:
    """Draw prompts until the batch is full.

    With dynamic sampling (DAPO, arXiv 2503.14476), batches of prompts are drawn until
    ``prompts_per_step`` groups have something to compare, or the tries are used up.
    """
    recipe, policy = session.recipe, session.policy
    size, dynamic = recipe.rl.prompts_per_step, recipe.algo.dynamic
    kept: list[TrainGroup] = []
    dropped: list[Group] = []
    tries = 0
    while not tries or (dynamic and len(kept) < size and tries < dynamic.max_tries):
        # prompts depend on the number of batches drawn alone, so that a run resumes
        pairs = session.read(_prompts(session, session.counts.drawn), step)
        upcoming = _prompts(session, session.counts.drawn + 1)
        policy.reader.store.prefetch([m for e in upcoming for m in e.media])
        watch.lap("read")
        with awake(policy.engine):
            sampled = roll_out(session, pairs, step)
        watch.lap("rollout")
        scored = session.grade([s.group for s in sampled])
        watch.lap("score")
        session.counts.drawn += 1
        tries += 1
        for s, group in zip(sampled, scored, strict=True):
            if dynamic and (len(kept) == size or not dynamic.keeps(group)):
                dropped.append(group)
            else:
                kept.append(replace(s, group=group))
    return Batch(kept, dropped, tries)


def _prompts(session: Session[RlRecipe], draw: int) -> list[Example]:
    """Return the examples of one draw."""
    recipe, examples = session.recipe, session.examples
    indices = batch_indices(draw, recipe.rl.prompts_per_step, len(examples), recipe.run.seed)
    # where two epochs meet an example may come twice; its rollouts would be the same
    return [examples[i] for i in dict.fromkeys(indices)]


def roll_out(
    session: Session[RlRecipe], pairs: Sequence[tuple[Example, Prompt]], step: int
) -> list[TrainGroup]:
    """Sample G rollouts per example on ordered frames, and the twin that the algorithm wants."""
    recipe, policy = session.recipe, session.policy
    requests = [Request(e, ORDERED, prompt, recipe.rl.group_size) for e, prompt in pairs]
    twins: dict[int, Request] = {}
    for i, (example, _) in enumerate(pairs):
        wanted = recipe.algo.twin(example, recipe.rl.group_size)
        if wanted is not None:
            prompt = policy.reader.read(example, wanted.view, step)
            twins[i] = Request(wanted.example, wanted.view, prompt, wanted.n)
    key = (recipe.run.seed, session.counts.drawn)
    groups = policy.engine.generate([*requests, *twins.values()], recipe.sampling, key=key)
    other = dict(zip(twins, groups[len(requests) :], strict=True))
    return [
        TrainGroup(replace(groups[i], twin=other[i]), r.prompt, twins[i].prompt)
        if i in twins
        else TrainGroup(groups[i], r.prompt)
        for i, r in enumerate(requests)
    ]
