"""How the tokens of a batch are weighed. The weights of a whole batch are fixed before
its first backward pass, so that micro-batches and ranks add up to the same loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Totals(NamedTuple):
    """What weights are divided by: sums over the minibatch and all processes."""

    sequences: float
    tokens: float


def totals(lengths: Sequence[int]) -> Totals:
    """Those of one process."""
    return Totals(len(lengths), sum(lengths))


def token_weights(
    lengths: Sequence[int], how: str, constant: int = 0, over: Totals | None = None
) -> list[np.ndarray]:
    """float32 (L_i,) for each of n completions of ``lengths`` tokens.

    ``sequence_mean``: 1 / (n L_i), the mean over tokens, then over sequences (GRPO);
    ``token_mean``: 1 / sum L, every token alike (DAPO, arXiv 2503.14476);
    ``constant``: 1 / (n * constant), Dr. GRPO with the generation budget as constant;
    ``sequence_sum``: 1 / n, the log-likelihood of whole sequences (RLOO).

    Args:
        over: n and sum L of the whole minibatch where ``lengths`` is one process's share.

    >>> [w.tolist() for w in token_weights([1, 4], "sequence_mean")]
    [[0.5], [0.125, 0.125, 0.125, 0.125]]
    """
    n, total = over or totals(lengths)
    match how:
        case "sequence_mean":
            values = [1 / (n * max(length, 1)) for length in lengths]
        case "token_mean":
            values = [1 / max(total, 1)] * len(lengths)
        case "constant":
            values = [1 / (n * constant)] * len(lengths)
        case "sequence_sum":
            values = [1 / n] * len(lengths)
        case _:
            raise ValueError(f"unknown aggregation {how!r}")
    return [np.full(length, v, np.float32) for length, v in zip(lengths, values, strict=True)]
