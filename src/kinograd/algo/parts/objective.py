"""Policy-gradient objectives per token: the importance ratio and its bounds.

M tokens of complete responses, one after another; ``row_M`` numbers a token's response, from
0 and without gaps. Every objective is to be maximised, and comes with the tokens whose
gradient it bounded, bool (M,). With ``old_M`` None the policy is still the one that sampled:
the ratio is one and only its gradient remains.
"""

from __future__ import annotations

import torch
from torch import Tensor

from kinograd.algo.base import Algorithm


def log_ratio(logprobs_M: Tensor, old_M: Tensor | None) -> Tensor:
    """Return log pi / pi_old (M,)."""
    return logprobs_M - (logprobs_M.detach() if old_M is None else old_M)


def sequence_average(values_M: Tensor, row_M: Tensor) -> Tensor:
    """Return for each token the mean of the values over its response (M,)."""
    # Unlike index_add, segment_reduce adds up in a fixed order on every device.
    return torch.segment_reduce(values_M, "mean", lengths=torch.bincount(row_M))[row_M]


def _bounded(ratio_M: Tensor, low: float | None, high: float | None) -> Tensor:
    """Clip the ratio to [1 - low, 1 + high]; None leaves a side open."""
    return ratio_M.clamp(
        -torch.inf if low is None else 1 - low, torch.inf if high is None else 1 + high
    )


def clipped_surrogate(
    log_ratio_M: Tensor,
    advantages_M: Tensor,
    low: float | None,
    high: float | None,
    dual: float | None = None,
) -> tuple[Tensor, Tensor]:
    """Compute PPO's clipped objective (Schulman et al. 2017, arXiv 1707.06347, eq. 7).

    ``min(r A, clip(r, 1 - low, 1 + high) A)``; a ``high`` above ``low`` is DAPO's
    clip-higher (arXiv 2503.14476), None leaves a side open. ``dual`` bounds the ratio of
    tokens with negative advantage, min(r, dual) A (Ye et al. 2019, arXiv 1912.09729;
    INTELLECT-2, arXiv 2505.07291).

    Args:
        log_ratio_M: log r, with gradients.
    """
    ratio_M = torch.exp(log_ratio_M)
    plain_M = ratio_M
    if dual is not None:
        plain_M = torch.where(advantages_M < 0, ratio_M.clamp(max=dual), ratio_M)
    bounded_M = _bounded(ratio_M, low, high)
    objective_M = torch.minimum(plain_M * advantages_M, bounded_M * advantages_M)
    return objective_M, objective_M.detach() != (ratio_M * advantages_M).detach()


def cispo(
    log_ratio_M: Tensor,
    logprobs_M: Tensor,
    advantages_M: Tensor,
    low: float | None,
    high: float | None,
) -> tuple[Tensor, Tensor]:
    """Compute sg(clip(r, 1 - low, 1 + high)) A log pi: CISPO (MiniMax-M1, arXiv 2506.13585).

    The weight is clipped, never the token: each keeps its gradient.
    """
    ratio_M = torch.exp(log_ratio_M.detach())
    weight_M = _bounded(ratio_M, low, high)
    return weight_M * advantages_M * logprobs_M, weight_M != ratio_M


def sapo(
    log_ratio_M: Tensor, advantages_M: Tensor, tau: tuple[float, float]
) -> tuple[Tensor, Tensor]:
    """Compute sigmoid(tau (r - 1)) (4 / tau) A: SAPO (Gao et al. 2025, arXiv 2511.20347).

    A soft gate instead of a clip, with slope one at r = 1; ``tau`` for A > 0 and for the
    rest, where a larger one damps more.
    """
    positive, rest = (log_ratio_M.new_tensor(t) for t in tau)
    tau_M = torch.where(advantages_M > 0, positive, rest)
    gate_M = torch.sigmoid(tau_M * (torch.exp(log_ratio_M) - 1)) * 4 / tau_M
    return gate_M * advantages_M, torch.zeros_like(advantages_M, dtype=torch.bool)


def policy_objective(
    logprobs_M: Tensor, old_M: Tensor | None, advantages_M: Tensor, row_M: Tensor, algo: Algorithm
) -> tuple[Tensor, Tensor]:
    """Compute the recipe's objective (M,), and which tokens it bounded (M,).

    ``sequence``: the ratio of responses, s = exp(mean_t log r_t) (GSPO, Zheng et al. 2025,
    arXiv 2507.18071). ``sequence_token``: sg(s) pi / sg(pi) (same paper, GSPO-token): the
    same number, but each token's gradient is weighted by its own advantage.
    """
    log_ratio_M = log_ratio(logprobs_M, old_M)
    low, high, dual = algo.clip_low, algo.clip_high, algo.dual_clip
    match algo.objective:
        case "clip":
            return clipped_surrogate(log_ratio_M, advantages_M, low, high, dual)
        case "sequence":
            mean_M = sequence_average(log_ratio_M, row_M)
            return clipped_surrogate(mean_M, advantages_M, low, high, dual)
        case "sequence_token":
            level_M = sequence_average(log_ratio_M.detach(), row_M)
            level_M = level_M + logprobs_M - logprobs_M.detach()
            return clipped_surrogate(level_M, advantages_M, low, high, dual)
        case "cispo":
            return cispo(log_ratio_M, logprobs_M, advantages_M, low, high)
        case "sapo":
            return sapo(log_ratio_M, advantages_M, algo.tau)
