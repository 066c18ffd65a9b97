"""Losses over the flat tokens of a micro-batch. M valid tokens; weights carry normalisers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from kinograd.algo.kl import kl_estimate
from kinograd.algo.ratio import clipped_surrogate
from kinograd.config.schema import Algo


@dataclass(frozen=True)
class TokenBatch:
    """Completion tokens of one micro-batch, each tensor (M,).

    ``old`` and ``ref`` are None where the algorithm needs none.
    """

    logprobs: Tensor
    entropy: Tensor
    weight: Tensor
    advantage: Tensor | None = None
    old: Tensor | None = None
    ref: Tensor | None = None


def cross_entropy(batch: TokenBatch) -> tuple[Tensor, dict[str, Tensor]]:
    """Weighted negative log-likelihood: supervised fine-tuning."""
    loss = -(batch.weight * batch.logprobs).sum()
    return loss, {"loss": loss.detach()}


def policy_loss(batch: TokenBatch, algo: Algo) -> tuple[Tensor, dict[str, Tensor]]:
    """-(objective - beta KL), weighted and summed (GRPO, arXiv 2402.03300, eq. 3)."""
    assert batch.advantage is not None
    objective, clipped = clipped_surrogate(
        batch.logprobs, batch.old, batch.advantage, algo.clip_low, algo.clip_high
    )
    sums = {"clip_fraction": (batch.weight * clipped).sum().detach()}
    if batch.ref is not None:
        kl = kl_estimate(batch.logprobs, batch.ref, algo.kl.estimator, algo.kl.clamp)
        objective = objective - algo.kl.beta * kl
        sums["kl"] = (batch.weight * kl).sum().detach()
    loss = -(batch.weight * objective).sum()
    sums["loss"] = loss.detach()
    sums["entropy"] = (batch.weight * batch.entropy).sum().detach()
    if batch.old is not None:
        drift = torch.exp(batch.logprobs.detach() - batch.old)
        sums["ratio"] = (batch.weight * drift).sum()
    return loss, sums
