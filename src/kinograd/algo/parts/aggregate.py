"""Token weights: how the loss averages over the tokens of a minibatch.

The weights of a minibatch are fixed before its first backward pass, so that micro-batches
add up to the same loss however they are cut.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def token_weights(lengths_N: Sequence[int], how: str, constant: int = 0) -> list[np.ndarray]:
    """Compute float32 (L,) for each of N responses.

    ``sequence_mean``: 1 / (N L), the mean over tokens, then over responses (GRPO);
    ``token_mean``: 1 / sum of L, the mean over all tokens (DAPO, arXiv 2503.14476);
    ``constant``: 1 / (N constant), Dr. GRPO with the generation budget as constant;
    ``sequence_sum``: 1 / N, the log-likelihood of responses (RLOO).

    >>> [w.tolist() for w in token_weights([1, 4], "sequence_mean")]
    [[0.5], [0.125, 0.125, 0.125, 0.125]]
    """
    n = len(lengths_N)
    match how:
        case "sequence_mean":
            weight_N = [1 / (n * max(length, 1)) for length in lengths_N]
        case "token_mean":
            weight_N = [1 / max(sum(lengths_N), 1)] * n
        case "constant":
            weight_N = [1 / (n * constant)] * n
        case "sequence_sum":
            weight_N = [1 / n] * n
        case _:
            raise ValueError(f"unknown aggregation {how!r}")
    return [np.full(length, w, np.float32) for length, w in zip(lengths_N, weight_N, strict=True)]
