"""Estimators of KL(pi || pi_ref) from one sample per token (Schulman 2020, joschu.net)."""

from __future__ import annotations

import torch
from torch import Tensor


def kl_estimate(
    logprobs_M: Tensor,
    ref_M: Tensor,
    estimator: str,
    clamp: float | None,
    log_ratio_M: Tensor | None = None,
) -> Tensor:
    """Estimate KL per token (M,), with x = log pi_ref - log pi.

    k1: -x; k2: x^2 / 2; k3: exp(x) - x - 1, which is unbiased and never negative.
    ``clamp`` bounds |x| (Video-R1 10, Open-R1-Video 11).

    Args:
        log_ratio_M: log pi / pi_old with gradients; the estimate is multiplied by the ratio,
            which keeps k3 (and its gradient) unbiased on samples of an older policy
            (DeepSeek-V3.2, arXiv 2512.02556; TRL's ``use_bias_correction_kl``).
    """
    x_M = ref_M - logprobs_M
    if clamp is not None:
        x_M = x_M.clamp(-clamp, clamp)
    match estimator:
        case "k1":
            kl_M = -x_M
        case "k2":
            kl_M = 0.5 * x_M * x_M
        case "k3":
            kl_M = torch.exp(x_M) - x_M - 1
        case _:
            raise ValueError(f"unknown KL estimator {estimator!r}")
    return kl_M if log_ratio_M is None else kl_M * torch.exp(log_ratio_M)
