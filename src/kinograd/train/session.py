"""An opened training run: what both loops need before their first step, and between steps."""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch

from kinograd import files
from kinograd.budget import FailureBudget, TooManyFailures
from kinograd.config.schema import RlRecipe, SftRecipe
from kinograd.datasets.load import load_examples
from kinograd.eval.answers import Grade
from kinograd.eval.runner import evaluate
from kinograd.judge import OutageGuard, build_judges, require_canaries, served_models
from kinograd.keys import derive_seed
from kinograd.models.load import VideoLM
from kinograd.models.prompt import Prompt
from kinograd.models.reader import Unreadable
from kinograd.policy import Policy, open_policy, save_contract
from kinograd.rewards.score import check_routing, score_groups
from kinograd.rollout.engine import awake
from kinograd.runs.digests import input_digests
from kinograd.runs.folder import RunFolder
from kinograd.train import checkpoint
from kinograd.train.learner import Learner
from kinograd.train.reference import Reference, open_reference
from kinograd.train.selfcheck import check_learner
from kinograd.types import Example, Group, Judge, KinogradError, UsageError

UNSCORED_STEPS, IDLE_STEPS = 10, 100
"""Steps in a row without any score, or without any update, after which a run stops."""

R = TypeVar("R", SftRecipe, RlRecipe)


@dataclass
class Counts:
    """State that a checkpoint keeps beside tensors.

    Attributes:
        updates: optimizer steps.
        seen: examples that were read, those that failed included.
        failed: examples that could not be read.
        drawn: batches of prompts drawn; more than steps with dynamic sampling.
        unscored_steps: latest steps in a row in which no rollout had a score.
        idle_steps: latest steps in a row without an update.
        algo: what the algorithm remembers from step to step.
    """

    updates: int = 0
    seen: int = 0
    failed: int = 0
    drawn: int = 0
    unscored_steps: int = 0
    idle_steps: int = 0
    algo: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass
class Session(Generic[R]):
    """An opened run; ``open_session`` makes one.

    Attributes:
        grade: scores groups by the recipe's reward and judges.
        reference: the policy that KL measures the distance from; None without KL.
        start: the step that the run starts at or resumes from.
        cpu_began: CPU seconds of this process when the step began.
    """

    recipe: R
    run: RunFolder
    policy: Policy
    learner: Learner
    examples: list[Example]
    held_out: list[Example]
    judges: dict[str, Judge]
    grade: Grade
    reference: Reference | None
    counts: Counts = field(default_factory=Counts)
    start: int = 0
    cpu_began: float = 0.0

    def read(
        self,
        examples: Sequence[Example],
        step: int,
        reject: Callable[[Example], Unreadable | None] = lambda _: None,
    ) -> list[tuple[Example, Prompt]]:
        """Return the examples that can be read, with their prompts; quarantine the others.

        Args:
            reject: says why an example cannot be used although its prompt can be read.

        Raises:
            TooManyFailures: beyond ``data.max_failed_fraction`` of those seen so far, or of
                twenty while they are fewer.
        """
        results = self.policy.reader.read_many(examples, step=step)
        good, first = [], ""
        for example, result in zip(examples, results, strict=True):
            result = reject(example) or result
            if isinstance(result, Unreadable):
                self.run.quarantine(example.id, result.reason, result.detail)
                first = first or f"{example.id}: {result.detail}"
            else:
                good.append((example, result))
        self.counts.seen += len(examples)
        self.counts.failed += len(examples) - len(good)
        if first:
            self._budget().check("examples could not be read", first, self._listed(), at_least=20)
        return good

    def begin_step(self, step: int) -> None:
        """Key what global randomness torch has left (adapter dropout) to the step."""
        torch.manual_seed(derive_seed(self.recipe.run.seed, "torch", step))
        self.cpu_began = time.process_time()

    def end_step(self, step: int, total: int, metrics: Mapping[str, Any]) -> None:
        """Log update ``step`` (counted from 1); evaluate and save when it is time.

        Raises:
            TooManyFailures: no example could be read in any step, or too many held-out
                examples could not be read; in that case the step is saved first.
            KinogradError: nothing has been learned for many steps; the step is saved first.
        """
        run = self.recipe.run
        if step == total and self.counts.failed == self.counts.seen:  # whatever is allowed
            first = files.read_records(self.run.files.quarantine)[0]
            raise TooManyFailures(
                f"{self.counts.failed} of {self.counts.seen} examples could not be read; "
                f"{first['id']}: {first['detail']}; {self._listed()}"
            )
        times = {
            "video/wait_s": self.policy.reader.store.take_wait_s(),
            "time/cpu_s": time.process_time() - self.cpu_began,
        }
        self.run.log(step, **metrics, **times)
        try:
            self._require_learning(metrics)
            if run.eval_every and self.held_out and (step % run.eval_every == 0 or step == total):
                self.evaluate(step)
        except KinogradError:
            self.save(step)
            raise
        if step % run.save_every == 0 or step == total:
            self.save(step)

    def _require_learning(self, metrics: Mapping[str, Any]) -> None:
        """Count the steps without a score or an update.

        Raises:
            KinogradError: there were too many of them in a row.
        """
        if "optim/updates" not in metrics:
            return
        counts, unscored = self.counts, math.isnan(metrics["reward/mean"])
        counts.unscored_steps = counts.unscored_steps + 1 if unscored else 0
        counts.idle_steps = counts.idle_steps + 1 if not metrics["optim/updates"] else 0
        if counts.unscored_steps >= UNSCORED_STEPS:
            reasons = {n: int(v) for n, v in metrics.items() if n.startswith("reward/unscored_")}
            raise KinogradError(
                f"no rollout has had a score for {counts.unscored_steps} steps ({reasons}); "
                f"their details are in {self.run.files.rollouts(0).parent}. Fix the reward, then "
                "run the same command again: the run resumes from its checkpoint"
            )
        if counts.idle_steps >= IDLE_STEPS:
            raise KinogradError(
                f"nothing has been learned for {counts.idle_steps} steps: the rollouts of every "
                "group have equal rewards. Choose examples of another difficulty (kinograd data "
                "filter), another reward, or a higher sampling.temperature"
            )

    def keep_rollouts(
        self,
        step: int,
        groups: Sequence[Group],
        dropped: Sequence[Group],
        advantages: Sequence[np.ndarray | None],
    ) -> None:
        """Record a step's rollouts with strips of the frames that each view showed.

        Args:
            dropped: groups that the step does not train on.
            advantages: of ``groups``, each (G,) or None.
        """
        strips = {}
        recorded = [*groups, *dropped]
        for group in recorded:
            for shown in filter(None, (group, group.twin)):
                clips = self.policy.reader.clips(shown.example, shown.view, step)
                strips[shown.example.id, shown.view.name] = [
                    self.run.strip(c, shown.view, self.recipe.run.strip_frames) for c in clips
                ]
        self.run.rollouts(step + 1, recorded, [*advantages, *[None] * len(dropped)], strips)

    def evaluate(self, step: int) -> None:
        """Answer the held-out questions with the weights as they are, and log the accuracy."""
        with awake(self.policy.engine):
            figures = evaluate(
                self.policy,
                self.held_out,
                self.recipe.eval,
                self.grade,
                self.run.files.evaluation(step),
                key=(self.recipe.run.seed, "eval"),
            )
        self.run.log(step, **{"eval/accuracy": figures["accuracy"]})

    def judge_metrics(self) -> dict[str, float]:
        """Return the counts of every model judge since the process started."""
        guarded = [j for j in self.judges.values() if isinstance(j, OutageGuard)]
        return {name: value for j in guarded for name, value in j.metrics().items()}

    def save(self, step: int) -> Path:
        """Write ``checkpoints/step-N`` with a folder ``model/`` that transformers loads."""
        self.run.require_unmoved()
        self.counts.updates = self.learner.updates
        return checkpoint.save(
            self.run.files.checkpoints,
            step,
            self.learner.tensors() | (self.reference.tensors() if self.reference else {}),
            asdict(self.counts),
            keep=self.recipe.run.keep,
            model_writer=self._write_model,
        )

    def _write_model(self, folder: Path) -> None:
        self.policy.model.save(folder)
        save_contract(folder, self.recipe)

    def _budget(self) -> FailureBudget:
        limit, counts = self.recipe.data.max_failed_fraction, self.counts
        return FailureBudget(limit, "data.max_failed_fraction", counts.seen, counts.failed)

    def _listed(self) -> str:
        return f"all are in {self.run.files.quarantine}"

    def resume(self) -> None:
        """Restore the newest checkpoint, and delete what was logged after it."""
        newest = checkpoint.latest(self.run.files.checkpoints)
        if newest is not None:
            tensors, state = checkpoint.load(newest)
            self.counts = Counts(**state)
            self.learner.restore(tensors, self.counts.updates)
            if self.reference is not None:
                self.reference.restore(tensors)
            self.start = int(newest.name.removeprefix("step-"))
        self.run.truncate_to(self.start)
        self.policy.engine.sync(self.learner.updates)


@contextmanager
def open_session(recipe: R, make_learner: Callable[[VideoLM], Learner]) -> Iterator[Session[R]]:
    """Open or resume the run folder; load data and policy; restore the newest checkpoint.

    Raises:
        UsageError: for an empty dataset, kinds without a grader, or a folder that holds
            something else.
        KinogradError: a judge does not answer, or fails its canaries.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UsageError(
            "the loops run in one process for now: start the command without torchrun or "
            "accelerate launch (the learner itself can be sharded, see train/parallel.py)"
        )
    data, asked = recipe.data, recipe.eval
    examples, rejected = load_examples(data.train, data.format, data.max_failed_fraction)
    if not examples:
        raise UsageError(f"data.train: no examples in {', '.join(recipe.data.train) or '[]'}")
    held_out, unasked = load_examples(
        asked.data, asked.format or data.format, asked.max_error_fraction
    )
    held_out = held_out[: asked.limit]
    judges = build_judges(recipe.judges)
    graded = [*examples, *held_out] if isinstance(recipe, RlRecipe) else held_out
    check_routing({e.kind for e in graded}, recipe.reward, judges)
    served: dict[str, str] = {}
    if isinstance(recipe, RlRecipe):
        served = served_models(asyncio.run(require_canaries(judges, recipe.reward.judges)))
    with ExitStack() as opened:
        policy = opened.enter_context(open_policy(recipe))
        check_learner(policy.model)
        digests = input_digests([*recipe.data.train, *recipe.eval.data], policy.model.path)
        folder = RunFolder.open(recipe, Path(recipe.run.dir), data_hashes=digests | served)
        run = opened.enter_context(folder)
        for row in [*rejected, *unasked]:
            run.quarantine(row.id or row.where, row.reason, f"{row.where}: {row.detail}")
        session = Session(
            recipe,
            run,
            policy,
            make_learner(policy.model),
            examples,
            held_out,
            judges,
            partial(score_groups, config=recipe.reward, judges=judges),
            open_reference(recipe, policy.model) if isinstance(recipe, RlRecipe) else None,
        )
        session.resume()
        yield session
