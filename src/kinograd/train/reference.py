"""Reference policies of the KL term.

A reference is the base model under an adapter, a frozen copy, or a moving average that
follows the policy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kinograd.config.schema import RlRecipe
from kinograd.models.adapters import adapter_off
from kinograd.models.load import VideoLM, frozen_copy
from kinograd.models.prefix import PrefixLM
from kinograd.train.batching import TrainItem
from kinograd.train.learner import Learner
from kinograd.types import UsageError


@dataclass(frozen=True)
class Reference:
    """Reference policy, which scores completions.

    Attributes:
        policy: the model that is trained.
        copy: its copy; None where the policy without its adapter is the reference.
        decay: 1 keeps the copy as it is; below, it follows the policy.
        every: steps between two updates of the copy.
        offload: the copy's weights rest in main memory and visit the device to score.
    """

    policy: PrefixLM
    copy: PrefixLM | None = None
    decay: float = 1.0
    every: int = 1
    offload: bool = False

    def score(self, learner: Learner, tasks: Sequence[TrainItem]) -> list[list[np.ndarray]]:
        """Compute log-probabilities of every completion, float32 (L,)."""
        if self.copy is None:
            with adapter_off(self.policy.model):
                return learner.score(tasks)
        with self._visit():
            return learner.score(tasks, self.copy)

    @torch.no_grad()
    def follow(self, step: int) -> None:
        """Set copy = decay x copy + (1 - decay) x policy if it is time after update ``step``.

        GRPO-CARE (Chen et al. 2025, arXiv 2506.16141): decay 0.995 every 10 steps.
        """
        if self.copy is None or self.decay == 1 or step % self.every:
            return
        policy = dict(self.policy.named_parameters())
        for name, value in self._following().items():
            value.lerp_(policy[name].to(value.device), 1 - self.decay)
        if not self.policy.tower_frozen:
            self.copy.forget_features()

    def tensors(self) -> dict[str, dict[str, Tensor]]:
        """Return the tensors that a checkpoint needs; none if the reference never moves."""
        return {} if self.decay == 1 else {"reference": self._following()}

    @torch.no_grad()
    def restore(self, tensors: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Load the tensors that ``tensors`` returned."""
        for name, value in self._following().items() if self.decay < 1 else ():
            value.copy_(tensors["reference"][name])

    def _following(self) -> dict[str, Tensor]:
        """Return the copy's weights that the policy trains."""
        assert self.copy is not None
        trained = {n for n, p in self.policy.named_parameters() if p.requires_grad}
        return {n: p.detach() for n, p in self.copy.named_parameters() if n in trained}

    @contextmanager
    def _visit(self) -> Iterator[None]:
        if not self.offload:
            yield
            return
        self.move(self.policy.device)
        try:
            yield
        finally:
            self.move(torch.device("cpu"))

    def move(self, device: torch.device) -> None:
        """Move the copy's weights, except those it shares with the policy (a frozen tower)."""
        assert self.copy is not None
        shared = {id(t) for t in (*self.policy.parameters(), *self.policy.buffers())}
        for tensor in (*self.copy.parameters(), *self.copy.buffers()):
            if id(tensor) not in shared:
                tensor.data = tensor.data.to(device)


def open_reference(recipe: RlRecipe, model: VideoLM) -> Reference | None:
    """Make the recipe's reference from the current weights; None without a KL term.

    Raises:
        UsageError: KL without a reference, or ``adapter_off`` without an adapter.
    """
    rl = recipe.rl
    if not recipe.algo.kl.beta:
        return None
    match rl.reference:
        case "adapter_off" if recipe.model.lora is not None:
            return Reference(model.lm)
        case "frozen" | "ema" as kind:
            decay = rl.ema_decay if kind == "ema" else 1.0
            copy = frozen_copy(model.lm)
            reference = Reference(model.lm, copy, decay, rl.ema_every, rl.reference_offload)
            if rl.reference_offload:
                reference.move(torch.device("cpu"))
            return reference
    raise UsageError(
        f"rl.reference: {rl.reference!r} gives no reference for algo.kl.beta = "
        f"{recipe.algo.kl.beta}; use 'frozen' or 'ema'"
        + ("" if recipe.model.lora is not None else " (there is no adapter)")
    )
