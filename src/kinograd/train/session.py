"""What both loops need before their first step, and how they stop and go on."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from kinograd import files
from kinograd.config.schema import RlRecipe, SftRecipe
from kinograd.datasets.load import load_examples
from kinograd.eval.runner import evaluate
from kinograd.judge import OutageGuard, build_judges, require_canaries
from kinograd.keys import derive_seed
from kinograd.models.load import VideoLM
from kinograd.models.prompt import Prompt
from kinograd.models.reader import Unreadable
from kinograd.policy import Policy, open_policy, save_contract
from kinograd.rewards.score import check_routing, score_groups
from kinograd.runs.digests import input_digests
from kinograd.runs.folder import RunFolder
from kinograd.train import checkpoint
from kinograd.train.learner import Learner
from kinograd.train.reference import Reference, open_reference
from kinograd.train.selfcheck import check_learner
from kinograd.types import ORDERED, Example, Group, Judge, KinogradError, UsageError, View


class TooManyFailures(KinogradError):
    """More examples failed than ``data.max_failed_fraction`` allows."""


@dataclass
class Session:
    """An opened run: everything a loop uses, and the step it starts from.

    Attributes:
        drawn: batches of prompts drawn so far; more than steps with dynamic sampling.
        cpu_began: CPU seconds of this process when the step began.
        algo_state: what the algorithm remembers from step to step.
    """

    recipe: SftRecipe | RlRecipe
    run: RunFolder
    policy: Policy
    learner: Learner
    examples: list[Example]
    held_out: list[Example]
    judges: dict[str, Judge]
    reference: Reference | None
    start: int = 0
    seen: int = 0
    failed: int = 0
    drawn: int = 0
    cpu_began: float = 0.0
    algo_state: Mapping[str, Any] = field(default_factory=dict)

    def read(
        self, examples: Sequence[Example], step: int, view: View = ORDERED
    ) -> list[tuple[Example, Prompt]]:
        """Examples that could be read, with their prompts; the others go to quarantine.

        Raises:
            TooManyFailures: beyond ``data.max_failed_fraction`` of those seen so far, or of
                twenty while they are fewer.
        """
        results = self.policy.reader.read_many(examples, view, step)
        good, first = [], ""
        for example, result in zip(examples, results, strict=True):
            if isinstance(result, Unreadable):
                self.run.quarantine(example.id, result.reason, result.detail)
                first = first or f"{example.id}: {result.detail}"
            else:
                good.append((example, result))
        self.seen += len(examples)
        self.failed += len(examples) - len(good)
        limit = self.recipe.data.max_failed_fraction
        if first and self.failed > limit * max(self.seen, 20):
            raise TooManyFailures(
                f"{self.failed} of {self.seen} examples could not be read, more than "
                f"data.max_failed_fraction = {limit}; {first}; "
                f"all are in {self.run.files.quarantine}"
            )
        return good

    def begin_step(self, step: int) -> None:
        """Key what little global randomness torch has left (adapter dropout) to the step."""
        torch.manual_seed(derive_seed(self.recipe.run.seed, "torch", step))
        self.cpu_began = time.process_time()

    def end_step(self, step: int, total: int, **metrics: Any) -> None:
        """Log update ``step`` (counted from 1), and evaluate and save when it is time.

        Raises:
            TooManyFailures: at the end, if no example could be read in any step.
        """
        run = self.recipe.run
        if step == total and self.failed == self.seen:
            quarantine = self.run.files.quarantine
            first = files.read_records(quarantine)[0]
            raise TooManyFailures(
                f"{self.failed} of {self.seen} examples could not be read; "
                f"{first['id']}: {first['detail']}; all are in {quarantine}"
            )
        self.run.log(step, **metrics, **{"time/cpu_s": time.process_time() - self.cpu_began})
        if run.eval_every and self.held_out and (step % run.eval_every == 0 or step == total):
            self.evaluate(step)
        if step % run.save_every == 0 or step == total:
            self.save(step)

    def keep_rollouts(
        self, step: int, groups: Sequence[Group], advantages: Sequence[np.ndarray | None]
    ) -> None:
        """Record a step's rollouts with strips of the frames that each view showed."""
        strips = {}
        for group in groups:
            for shown in filter(None, (group, group.twin)):
                clips = self.policy.reader.clips(shown.example, shown.view, step)
                strips[shown.example.id, shown.view.name] = [
                    self.run.strip(c, shown.view, self.recipe.run.strip_frames) for c in clips
                ]
        self.run.rollouts(step + 1, groups, advantages, strips)

    def evaluate(self, step: int) -> None:
        figures = evaluate(
            self.policy,
            self.held_out,
            self.recipe.eval,
            partial(score_groups, config=self.recipe.reward, judges=self.judges),
            self.run.files.evaluation(step),
            key=(self.recipe.run.seed, "eval"),
        )
        self.run.log(step, **{"eval/accuracy": figures["accuracy"]})

    def judge_metrics(self) -> dict[str, float]:
        """What every model judge has done since the process started."""
        guarded = [j for j in self.judges.values() if isinstance(j, OutageGuard)]
        return {name: value for j in guarded for name, value in j.metrics().items()}

    def save(self, step: int) -> Path:
        """Write ``checkpoints/step-N`` with a folder ``model/`` that transformers loads."""
        self.run.require_unmoved()
        return checkpoint.save(
            self.run.files.checkpoints,
            step,
            self.learner.tensors() | (self.reference.tensors() if self.reference else {}),
            {
                "updates": self.learner.updates,
                "seen": self.seen,
                "failed": self.failed,
                "drawn": self.drawn,
                "algo": dict(self.algo_state),
            },
            keep=self.recipe.run.keep,
            model_writer=self._write_model,
        )

    def _write_model(self, folder: Path) -> None:
        self.policy.model.save(folder)
        save_contract(folder, self.recipe)


@contextmanager
def open_session(
    recipe: SftRecipe | RlRecipe, make_learner: Callable[[VideoLM], Learner]
) -> Iterator[Session]:
    """Open or resume the run folder, load model and data, restore the newest checkpoint.

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
    if isinstance(recipe, RlRecipe):
        asyncio.run(require_canaries(judges, recipe.reward.judges))
    with ExitStack() as opened:
        policy = opened.enter_context(open_policy(recipe))
        check_learner(policy.model)
        digests = input_digests([*recipe.data.train, *recipe.eval.data], policy.model.path)
        folder = RunFolder.open(recipe, Path(recipe.run.dir), data_hashes=digests)
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
            open_reference(recipe, policy.model) if isinstance(recipe, RlRecipe) else None,
        )
        _resume(session)
        yield session


def _resume(session: Session) -> None:
    """Restore the newest checkpoint, and forget what was logged after it."""
    newest = checkpoint.latest(session.run.files.checkpoints)
    if newest is not None:
        tensors, state = checkpoint.load(newest)
        session.learner.restore(tensors, state["updates"])
        if session.reference is not None:
            session.reference.restore(tensors)
        session.seen, session.failed = state["seen"], state["failed"]
        session.drawn, session.algo_state = state["drawn"], state["algo"]
        session.start = int(newest.name.removeprefix("step-"))
    session.run.truncate_to(session.start)
    session.policy.engine.sync(session.learner.updates)
