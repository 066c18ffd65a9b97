"""Losses over the flat tokens of a micro-batch. M valid tokens; weights carry normalisers."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from kinograd.algo.kl import kl_estimate
from kinograd.algo.ratio import log_ratio, policy_objective
from kinograd.config.algo import Algo


@dataclass(frozen=True)
class TokenBatch:
    """Completion tokens of one micro-batch, each tensor (M,); responses are whole.

    Attributes:
        row: int64, which response of the micro-batch a token belongs to, ascending.
        old, ref: log-probabilities; None where the algorithm needs none.
        importance: constant factor of the objective (see algo/correction.py); None for one.
    """

    logprobs: Tensor
    entropy: Tensor
    weight: Tensor
    row: Tensor
    advantage: Tensor | None = None
    old: Tensor | None = None
    ref: Tensor | None = None
    importance: Tensor | None = None


def cross_entropy(batch: TokenBatch) -> tuple[Tensor, dict[str, Tensor]]:
    """Weighted negative log-likelihood: supervised fine-tuning."""
    loss = -(batch.weight * batch.logprobs).sum()
    return loss, {"loss": loss.detach()}


def policy_loss(
    batch: TokenBatch, algo: Algo, *, on_policy: bool
) -> tuple[Tensor, dict[str, Tensor]]:
    """-(objective - beta KL), weighted and summed (GRPO, arXiv 2402.03300, eq. 3).

    ``on_policy``: the weights are still those that sampled, so the ratio is exactly one
    and ``old`` only serves to measure how far sampler and learner differ in rounding.
    """
    assert batch.advantage is not None
    old = None if on_policy else batch.old
    objective, clipped = policy_objective(batch.logprobs, old, batch.advantage, batch.row, algo)
    weight, logprobs = batch.weight, batch.logprobs.detach()
    sums = {"weight": weight.sum(), "entropy": (weight * batch.entropy).sum()}
    if batch.importance is not None:
        objective = objective * batch.importance
        sums["importance"] = (weight * batch.importance).sum()
    if batch.ref is not None and algo.kl.place == "loss":
        ratio = log_ratio(batch.logprobs, old) if algo.kl.unbiased else None
        kl = kl_estimate(batch.logprobs, batch.ref, algo.kl.estimator, algo.kl.clamp, ratio)
        objective = objective - algo.kl.beta * kl
        sums["kl"] = (weight * kl.detach()).sum()
    if batch.old is not None:
        sums["log_ratio"] = (weight * (logprobs - batch.old).abs()).sum()
    if not on_policy:
        sums["clip_fraction"] = (weight * clipped).sum()
    loss = -(weight * objective).sum()
    return loss, sums | {"loss": loss.detach()}
