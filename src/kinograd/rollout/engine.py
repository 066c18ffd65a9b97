"""Contract of engines: requests in, groups of rollouts out.

A request is one example under one view with n rollouts. Its prompt comes encoded, so that
engine and learner read the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol

from kinograd.config.rollout import RolloutConfig, SamplingConfig
from kinograd.models.load import VideoLM
from kinograd.models.prompt import Prompt
from kinograd.types import Example, Group, View


@dataclass(frozen=True)
class Request:
    """n rollouts of one example under one view."""

    example: Example
    view: View
    prompt: Prompt
    n: int


class Engine(Protocol):
    """Samples rollouts from a policy's current weights.

    Noise is keyed by (seed, step, example, view, rollout, position), so that a rollout
    depends neither on its neighbours nor on how requests are batched.

    Attributes:
        exact: the log-probabilities are the learner's own, computed by the same kernels
            from the same weights, so that the ratio before an update is one.
    """

    exact: bool

    def generate(
        self, requests: Sequence[Request], sampling: SamplingConfig, *, key: tuple[object, ...]
    ) -> list[Group]:
        """Sample the rollouts of every request; groups come in the order of the requests.

        The model has to see what the learner sees: the prompt's token ids, media and
        positions (``Family.row`` gives all three). The family's ``banned_tokens`` are masked
        before log-probabilities are taken, and all of ``model.end_tokens`` end a rollout.

        Args:
            key: addresses the noise; the same key draws the same rollouts.
        """
        ...

    def sync(self, version: int) -> None:
        """Take over the model's weights.

        Args:
            version: number of updates that the weights have had.
        """
        ...

    def sleep(self) -> None:
        """Free the memory that only generation needs, before the learner's step.

        An engine starts awake.
        """
        ...

    def wake(self) -> None:
        """Take that memory back, before the next generation."""
        ...

    def close(self) -> None:
        """End whatever the engine has started."""
        ...


@contextmanager
def awake(engine: Engine) -> Iterator[None]:
    """Wake the engine to generate, and send it to sleep again."""
    engine.wake()
    try:
        yield
    finally:
        engine.sleep()


def open_engine(model: VideoLM, config: RolloutConfig) -> Engine:
    """Start the engine that a recipe's ``rollout`` section names."""
    module, name = config.engine.split(":")
    return getattr(import_module(module), name)(model, config)
