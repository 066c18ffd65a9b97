"""Scored answers of a policy, example by example: what evaluating and filtering share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from kinograd.config.schema import RewardConfig, SamplingConfig
from kinograd.models.reader import Reader, Unreadable
from kinograd.rewards.score import score_groups
from kinograd.rollout.engine import Engine, Request
from kinograd.types import ORDERED, Example, Group, Judge, View


def sample_groups(
    engine: Engine,
    reader: Reader,
    examples: Sequence[Example],
    n: int,
    sampling: SamplingConfig,
    reward: RewardConfig,
    judges: Mapping[str, Judge],
    key: tuple[object, ...],
    batch: int,
    view: View = ORDERED,
) -> Iterator[Group | Unreadable]:
    """``n`` scored rollouts of every example, in order; one bad clip harms only its own row.

    Args:
        key: addresses the sampling noise.
        batch: examples that are read, answered and graded together.
    """
    for start in range(0, len(examples), batch):
        some = examples[start : start + batch]
        prompts = reader.read_many(some, view, step=0)
        requests = [
            Request(example, view, prompt, n)
            for example, prompt in zip(some, prompts, strict=True)
            if not isinstance(prompt, Unreadable)
        ]
        groups = score_groups(engine.generate(requests, sampling, key=key), reward, judges)
        left = iter(groups)
        for prompt in prompts:
            yield prompt if isinstance(prompt, Unreadable) else next(left)
