"""Estimators of KL(pi || pi_ref) from one sample per token (Schulman 2020, joschu.net)."""

from __future__ import annotations

import torch
from torch import Tensor


def kl_estimate(
    logprobs: Tensor,
    ref: Tensor,
    estimator: str,
    clamp: float | None,
    log_ratio: Tensor | None = None,
) -> Tensor:
    """Per-token KL estimate (M,), with x = log pi_ref - log pi.

    k1: -x; k2: x^2 / 2; k3: exp(x) - x - 1, which is unbiased and never negative.
    ``clamp`` bounds |x| (Video-R1 10, Open-R1-Video 11).

    Args:
        log_ratio: log pi / pi_old with gradients; the estimate is multiplied by the ratio,
            which keeps k3 (and its gradient) unbiased on samples of an older policy
            (DeepSeek-V3.2, arXiv 2512.02556; TRL's ``use_bias_correction_kl``).
    """
    x = ref - logprobs
    if clamp is not None:
        x = x.clamp(-clamp, clamp)
    match estimator:
        case "k1":
            kl = -x
        case "k2":
            kl = 0.5 * x * x
        case "k3":
            kl = torch.exp(x) - x - 1
        case _:
            raise ValueError(f"unknown KL estimator {estimator!r}")
    return kl if log_ratio is None else kl * torch.exp(log_ratio)
