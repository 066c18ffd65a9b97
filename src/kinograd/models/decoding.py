"""Generation as engines see it: rows that take one token each and say what comes next.

Shape legend: N prompts, g rollouts each, R = N x g rows, D hidden size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from kinograd.models.attention import DecodeState

if TYPE_CHECKING:
    from kinograd.models.prefix import Prefix, PrefixLM


class Decoding(Protocol):
    """A running generation. ``hidden`` (R, D) predicts each row's first token."""

    hidden: Tensor

    def step(self, tokens: Tensor) -> Tensor:
        """Append ``tokens`` (R,); the hidden states (R, D) that predict the next ones."""
        ...

    def select(self, keep: Tensor) -> None:
        """Go on with the prompts named by ``keep`` (indices) and all their rows."""
        ...


class PrefixDecoding:
    """Rows that share their prompt's keys and values, stored once."""

    def __init__(self, lm: PrefixLM, prefix: Prefix, g: int, budget: int) -> None:
        self.lm, self.prefix, self.g = lm, prefix, g
        self.hidden = prefix.last.repeat_interleave(g, 0)
        rows = len(self.hidden)

        def buffer(x: Tensor) -> Tensor:
            return x.new_zeros(rows, x.shape[1], budget, x.shape[3])

        kv = prefix.kv
        self.state = DecodeState(kv, [buffer(k) for k in kv.keys], [buffer(v) for v in kv.values])

    def step(self, tokens: Tensor) -> Tensor:
        following = self.prefix.next_position.repeat_interleave(self.g) + self.state.filled
        return self.lm.decode(tokens, following, self.state)

    def select(self, keep: Tensor) -> None:
        rows = (keep[:, None] * self.g + torch.arange(self.g, device=keep.device)).flatten()
        self.prefix = self.prefix.select(keep)
        keys, values = ([x[rows] for x in xs] for xs in (self.state.keys, self.state.values))
        self.state = DecodeState(self.prefix.kv, keys, values, self.state.filled)
