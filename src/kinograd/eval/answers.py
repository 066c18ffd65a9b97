"""Graded answers of a policy, example by example, for evaluating and for choosing data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from kinograd.config.schema import EvalConfig
from kinograd.models.reader import Reader, Unreadable
from kinograd.rollout.engine import Engine, Request
from kinograd.types import ORDERED, Example, Group, View

Grade = Callable[[Sequence[Group]], list[Group]]
"""Adds the scores to groups, such as ``score_groups`` with a recipe's reward and judges."""


def graded_answers(
    engine: Engine,
    reader: Reader,
    examples: Sequence[Example],
    config: EvalConfig,
    grade: Grade,
    *,
    n: int,
    key: tuple[object, ...],
    view: View = ORDERED,
) -> Iterator[Group | Unreadable]:
    """Yield ``n`` graded rollouts of every example, in order, or why it could not be read.

    Args:
        config: ``sampling``, and ``batch_size`` examples that are read, answered and graded
            together.
        key: addresses the sampling noise.
    """
    for start in range(0, len(examples), config.batch_size):
        batch = examples[start : start + config.batch_size]
        prompts = reader.read_many(batch, view, step=0)
        requests = [
            Request(example, view, prompt, n)
            for example, prompt in zip(batch, prompts, strict=True)
            if not isinstance(prompt, Unreadable)
        ]
        groups = iter(grade(engine.generate(requests, config.sampling, key=key)))
        for prompt in prompts:
            yield prompt if isinstance(prompt, Unreadable) else next(groups)
