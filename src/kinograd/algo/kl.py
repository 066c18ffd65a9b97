"""Estimators of KL(pi || pi_ref) from one sample per token (Schulman 2020, joschu.net)."""

from __future__ import annotations

import torch
from torch import Tensor


def kl_estimate(logprobs: Tensor, ref: Tensor, estimator: str, clamp: float | None) -> Tensor:
    """Per-token KL estimate (M,), with x = log pi_ref - log pi.

    k1: -x; k2: x^2 / 2; k3: exp(x) - x - 1, which is unbiased and never negative.
    ``clamp`` bounds |x| (Video-R1 10, Open-R1-Video 11).
    """
    x = ref - logprobs
    if clamp is not None:
        x = x.clamp(-clamp, clamp)
    match estimator:
        case "k1":
            return -x
        case "k2":
            return 0.5 * x * x
        case "k3":
            return torch.exp(x) - x - 1
    raise ValueError(f"unknown KL estimator {estimator!r}")
