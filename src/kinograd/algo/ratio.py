"""Policy-gradient objectives per token: importance ratio and clipping."""

from __future__ import annotations

import torch
from torch import Tensor


def clipped_surrogate(
    logprobs: Tensor,
    old: Tensor | None,
    advantages: Tensor,
    low: float | None,
    high: float | None,
) -> tuple[Tensor, Tensor]:
    """PPO's clipped objective (Schulman et al. 2017, arXiv 1707.06347, eq. 7), per token.

    ``min(r A, clip(r, 1 - low, 1 + high) A)``; a ``high`` above ``low`` is DAPO's
    clip-higher (arXiv 2503.14476).

    Args:
        logprobs: (M,) under the policy, with gradients.
        old: (M,) under the policy that sampled; None when it is this very policy, so
            that the ratio is one and only its gradient remains.
        advantages: (M,).
        low, high: clip range; None leaves that side open.

    Returns:
        The objective (M,) to be maximised, and which tokens were clipped, bool (M,).
    """
    ratio = torch.exp(logprobs - (logprobs.detach() if old is None else old))
    floor = -torch.inf if low is None else 1 - low
    ceiling = torch.inf if high is None else 1 + high
    clipped = ratio.clamp(floor, ceiling)
    plain, bounded = ratio * advantages, clipped * advantages
    return torch.minimum(plain, bounded), bounded < plain
