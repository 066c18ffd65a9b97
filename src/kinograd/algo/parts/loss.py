"""Losses over the tokens of a micro-batch. Weights carry the normalisers of the minibatch."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from kinograd.algo.base import Algorithm
from kinograd.algo.parts.kl import kl_estimate
from kinograd.algo.parts.objective import log_ratio, policy_objective


@dataclass(frozen=True)
class TokenBatch:
    """Completion tokens of one micro-batch, each tensor (M,); responses are complete.

    Attributes:
        row: int64, number of the response of a token within the micro-batch, ascending.
        sampler_logprobs: of the policy that sampled, as the engine computed them.
        old_logprobs: of the same policy, as the learner computed them; None where the
            sampler's serve.
        ref_logprobs: of the reference policy; None without a KL term.
        importance: constant factor of the objective (see ``parts.correction``); None for 1.
    """

    logprobs: Tensor
    entropy: Tensor
    weight: Tensor
    row: Tensor
    advantage: Tensor | None = None
    sampler_logprobs: Tensor | None = None
    old_logprobs: Tensor | None = None
    ref_logprobs: Tensor | None = None
    importance: Tensor | None = None


def cross_entropy(batch: TokenBatch) -> tuple[Tensor, dict[str, Tensor]]:
    """Compute the weighted negative log-likelihood: supervised fine-tuning."""
    loss = -(batch.weight * batch.logprobs).sum()
    return loss, {"loss": loss.detach()}


def policy_loss(batch: TokenBatch, algo: Algorithm) -> tuple[Tensor, dict[str, Tensor]]:
    """Compute -(objective - beta KL), weighted and summed (GRPO, arXiv 2402.03300, eq. 3).

    With ``algo.on_policy`` the weights are still those that sampled: the ratio is one, and
    old log-probs only measure how far sampler and learner differ in rounding.

    Returns:
        The loss, and weighted sums over the tokens by name, without gradients.
    """
    assert batch.advantage is not None
    old_M = batch.sampler_logprobs if batch.old_logprobs is None else batch.old_logprobs
    base_M = None if algo.on_policy else old_M
    weight_M, logprobs_M = batch.weight, batch.logprobs.detach()
    objective_M, clipped_M = policy_objective(
        batch.logprobs, base_M, batch.advantage, batch.row, algo
    )
    sums = {"weight": weight_M.sum(), "entropy": (weight_M * batch.entropy).sum()}
    if batch.importance is not None:
        objective_M = objective_M * batch.importance
        sums["importance"] = (weight_M * batch.importance).sum()
    if batch.ref_logprobs is not None and algo.kl.place == "loss":
        ratio_M = log_ratio(batch.logprobs, base_M) if algo.kl.unbiased else None
        kl_M = kl_estimate(
            batch.logprobs, batch.ref_logprobs, algo.kl.estimator, algo.kl.clamp, ratio_M
        )
        objective_M = objective_M - algo.kl.beta * kl_M
        sums["kl"] = (weight_M * kl_M.detach()).sum()
    if old_M is not None:
        sums["log_ratio"] = (weight_M * (logprobs_M - old_M).abs()).sum()
    if not algo.on_policy:
        sums["clip_fraction"] = (weight_M * clipped_M).sum()
    loss = -(weight_M * objective_M).sum()
    return loss, sums | {"loss": loss.detach()}
