"""Policy-gradient objectives per token: importance ratio and what bounds it.

M tokens of whole responses, one after another; ``row`` (M,) numbers a token's response, from
0 and without gaps.
Every objective is to be maximised, and comes with the tokens whose gradient it bounded,
bool (M,). With ``old`` None the policy is still the one that sampled: the ratio is one
and only its gradient remains.
"""

from __future__ import annotations

import torch
from torch import Tensor

from kinograd.config.algo import Algo


def log_ratio(logprobs: Tensor, old: Tensor | None) -> Tensor:
    """log pi / pi_old (M,)."""
    return logprobs - (logprobs.detach() if old is None else old)


def sequence_average(values: Tensor, row: Tensor) -> Tensor:
    """(M,): the mean of ``values`` over the response of each token."""
    # Unlike index_add, segment_reduce adds up in a fixed order on every device.
    return torch.segment_reduce(values, "mean", lengths=torch.bincount(row))[row]


def clipped_surrogate(
    logs: Tensor,
    advantages: Tensor,
    low: float | None,
    high: float | None,
    dual: float | None = None,
) -> tuple[Tensor, Tensor]:
    """PPO's clipped objective (Schulman et al. 2017, arXiv 1707.06347, eq. 7).

    ``min(r A, clip(r, 1 - low, 1 + high) A)``; a ``high`` above ``low`` is DAPO's
    clip-higher (arXiv 2503.14476), None leaves a side open. ``dual`` bounds the ratio of
    tokens with negative advantage, min(r, dual) A (Ye et al. 2019, arXiv 1912.09729;
    INTELLECT-2, arXiv 2505.07291).

    Args:
        logs: log r (M,), with gradients.
    """
    ratio = torch.exp(logs)
    bounded = ratio.clamp(
        -torch.inf if low is None else 1 - low, torch.inf if high is None else 1 + high
    )
    plain = ratio if dual is None else torch.where(advantages < 0, ratio.clamp(max=dual), ratio)
    objective = torch.minimum(plain * advantages, bounded * advantages)
    return objective, objective.detach() != (ratio * advantages).detach()


def cispo(
    logs: Tensor, logprobs: Tensor, advantages: Tensor, low: float | None, high: float | None
) -> tuple[Tensor, Tensor]:
    """sg(clip(r, 1 - low, 1 + high)) A log pi: CISPO (MiniMax-M1, arXiv 2506.13585).

    The weight is clipped, never the token: each keeps its gradient.
    """
    ratio = torch.exp(logs.detach())
    weight = ratio.clamp(
        -torch.inf if low is None else 1 - low, torch.inf if high is None else 1 + high
    )
    return weight * advantages * logprobs, weight != ratio


def sapo(logs: Tensor, advantages: Tensor, tau: tuple[float, float]) -> tuple[Tensor, Tensor]:
    """sigmoid(tau (r - 1)) (4 / tau) A: SAPO (Gao et al. 2025, arXiv 2511.20347).

    A soft gate instead of a clip, with slope one at r = 1; ``tau`` for A > 0 and for the
    rest, where a larger one damps more.
    """
    positive, rest = (logs.new_tensor(t) for t in tau)
    heat = torch.where(advantages > 0, positive, rest)
    gate = torch.sigmoid(heat * (torch.exp(logs) - 1)) * 4 / heat
    return gate * advantages, torch.zeros_like(advantages, dtype=torch.bool)


def policy_objective(
    logprobs: Tensor, old: Tensor | None, advantages: Tensor, row: Tensor, algo: Algo
) -> tuple[Tensor, Tensor]:
    """The recipe's objective, (M,) and (M,).

    ``sequence``: the ratio of whole responses, s = exp(mean_t log r_t) (GSPO, Zheng et al.
    2025, arXiv 2507.18071). ``sequence_token``: sg(s) pi / sg(pi) (same paper, GSPO-token):
    the same number, but each token's gradient is weighed by its own advantage.
    """
    logs = log_ratio(logprobs, old)
    low, high, dual = algo.clip_low, algo.clip_high, algo.dual_clip
    match algo.objective:
        case "clip":
            return clipped_surrogate(logs, advantages, low, high, dual)
        case "sequence":
            return clipped_surrogate(sequence_average(logs, row), advantages, low, high, dual)
        case "sequence_token":
            level = sequence_average(logs.detach(), row) + logprobs - logprobs.detach()
            return clipped_surrogate(level, advantages, low, high, dual)
        case "cispo":
            return cispo(logs, logprobs, advantages, low, high)
        case "sapo":
            return sapo(logs, advantages, algo.tau)
