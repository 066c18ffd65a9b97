"""What an engine is: requests in, groups of rollouts out.

A request is the unit of everything: one example under one view, n rollouts. Engines get
the prompt already encoded, so that they and the learner read the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from kinograd.config.schema import SamplingConfig
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
    """Samples rollouts. Noise is keyed by (seed, step, example, view, rollout, position),
    so that a rollout depends neither on its neighbours nor on how requests are batched."""

    def generate(
        self,
        requests: Sequence[Request],
        sampling: SamplingConfig,
        *,
        key: tuple[object, ...],
        progress: Callable[[int], None] | None = None,
    ) -> list[Group]:
        """Groups in the order of the requests. ``progress`` hears of finished requests."""
        ...
