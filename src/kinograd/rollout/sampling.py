"""Draw the next tokens of many rows at once, each row from its own stream of noise."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from kinograd.config.rollout import SamplingConfig
from kinograd.keys import uniforms


def draw(
    logits: Tensor, sampling: SamplingConfig, seeds: np.ndarray, position: int
) -> tuple[Tensor, Tensor]:
    """Draw next tokens (R,) from logits (R, V); return them and their log-probabilities.

    The logits are already divided by the temperature. Tokens are drawn by inverting the
    cumulative distribution at one uniform number per row; at temperature 0 the likeliest
    is taken. Log-probabilities are those of the unfiltered distribution, which is what
    a learner recomputes.
    """
    logprobs = torch.log_softmax(logits, -1)
    if sampling.temperature == 0:
        tokens = logits.argmax(-1)
        return tokens, logprobs.gather(1, tokens[:, None])[:, 0]
    noise = torch.from_numpy(uniforms(seeds, position)).to(logits.device)[:, None]
    if sampling.top_p < 1 or sampling.top_k > 0:
        ranked, order = logprobs.sort(-1, descending=True)
        mass = ranked.double().exp()
        keep = mass.cumsum(-1) - mass < sampling.top_p  # the token that crosses top_p stays
        if sampling.top_k > 0:
            keep[:, sampling.top_k :] = False
        tokens = order.gather(1, _invert(mass * keep, noise))[:, 0]
    else:
        tokens = _invert(logprobs.double().exp(), noise)[:, 0]
    return tokens, logprobs.gather(1, tokens[:, None])[:, 0]


def _invert(mass: Tensor, noise: Tensor) -> Tensor:
    """Find the first index (R, 1) whose cumulative mass exceeds noise x total.

    An index without mass is never returned.
    """
    cumulative = mass.cumsum(-1)
    index = torch.searchsorted(cumulative, noise * cumulative[:, -1:], right=True)
    last = (mass > 0).to(torch.int8).flip(-1).argmax(-1, keepdim=True)
    return torch.minimum(index, mass.shape[-1] - 1 - last)
