"""Replicated rows: for models without a family, every completion is one plain row.

Prompt and pixels run again for each completion, so a group costs G times its prompt. The
rows are transformers' own forward; only the head is Kinograd's. To bound memory, a row
keeps no activations: its backward pass runs it once more.

Shape legend: N prompts, g completions each, C padded length, R = N x g, D hidden size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from kinograd.models.prefix import Decoding, PrefixLM
from kinograd.models.prompt import Prompt
from kinograd.types import UsageError


@dataclass(frozen=True)
class ReplicatedPrompts:
    """Prompts in the place of a ``Prefix``; nothing is shared, so nothing runs backward."""

    prompts: tuple[Prompt, ...]
    needs_backward = False

    def leaves(self) -> ReplicatedPrompts:
        return self

    def tensors(self) -> list[Tensor]:
        return []


class ReplicatedLM(PrefixLM):
    """A model with the methods of ``PrefixLM``, over replicated rows."""

    shares_prefix = False

    def _adopt(self) -> None:
        """Check that hidden states times output embedding are the model's logits.

        Raises:
            UsageError: its head does more (a bias, a scale, a soft cap).
        """
        training = self.model.training
        self.model.eval()
        ids = torch.tensor([[i for i in range(16) if i not in self.family.banned_tokens]])
        ids = ids.to(self.device)
        with torch.no_grad():
            logits = self.model(input_ids=ids, use_cache=False).logits
            hidden = self._base(input_ids=ids, use_cache=False).last_hidden_state
        self.model.train(training)
        if not torch.allclose(hidden @ self.head_weight.t(), logits, rtol=1e-3, atol=1e-4):
            raise UsageError(
                f"model.path: the head of {type(self.model).__name__} is more than "
                "one matrix product, and Kinograd's log-probabilities would not be its own"
            )

    @property
    def _base(self) -> Any:
        """Model below the head."""
        return self.model.base_model

    def prefix(self, prompts: Sequence[Prompt]) -> ReplicatedPrompts:  # type: ignore[override]
        return ReplicatedPrompts(tuple(prompts))

    def suffix(self, prefix: ReplicatedPrompts, completions: Tensor) -> Tensor:  # type: ignore[override]
        """Compute the hidden states (N, g, C, D) that predict ``completions`` (N, g, C)."""
        groups = zip(prefix.prompts, completions, strict=True)
        return torch.stack([torch.stack([self._row(p, c) for c in rows]) for p, rows in groups])

    def _row(self, prompt: Prompt, completion: Tensor) -> Tensor:
        self.patches_seen += sum(len(m.pixels) for m in prompt.media)
        if torch.is_grad_enabled():
            return checkpoint(self._forward, prompt, completion, use_reentrant=False)
        return self._forward(prompt, completion)

    def _forward(self, prompt: Prompt, completion: Tensor) -> Tensor:
        """Compute the hidden states (C, D) that predict one row's completion."""
        return self._plain(prompt, completion[:-1], use_cache=False).last_hidden_state[
            0, len(prompt.input_ids) - 1 :
        ]

    def _plain(self, prompt: Prompt, completion: Tensor, **options: Any) -> Any:
        row = self.family.row(prompt, completion)
        with self.autocast():
            return self._base(
                **{name: value.to(self.device) for name, value in row.items()}, **options
            )

    def start_decoding(self, prefix: ReplicatedPrompts, g: int, budget: int) -> Decoding:  # type: ignore[override]
        return ReplicatedDecoding(self, prefix, g)

    def prefill(self, prompt: Prompt, g: int) -> tuple[Tensor, RowCache]:
        """Run one prompt; return hidden states (g, D) after it and the cache of its g rows."""
        self.patches_seen += sum(len(m.pixels) for m in prompt.media)
        self._continue_from(None)
        out = self._plain(prompt, torch.empty(0, dtype=torch.long), use_cache=True)
        out.past_key_values.batch_repeat_interleave(g)
        offset = getattr(self._base, "rope_deltas", None)
        return out.last_hidden_state[:, -1].expand(g, -1), RowCache(out.past_key_values, offset)

    def decode(self, tokens: Tensor, run: RowCache) -> Tensor:  # type: ignore[override]
        """Run one step of one prompt's rows; return hidden states (g, D) after ``tokens``."""
        self._continue_from(run.offset)
        with self.autocast():
            return self._base(
                input_ids=tokens[:, None], past_key_values=run.cache, use_cache=True
            ).last_hidden_state[:, -1]

    def _continue_from(self, offset: Tensor | None) -> None:
        """Set the offset of text positions, which M-RoPE models keep for one prompt only."""
        if hasattr(self._base, "rope_deltas"):
            self._base.rope_deltas = offset


@dataclass
class RowCache:
    """State of one prompt's g rows of equal length: transformers' cache, M-RoPE's offset."""

    cache: Any
    offset: Tensor | None


class ReplicatedDecoding:
    """Decoding with each prompt's rows in a cache of their own."""

    def __init__(self, lm: ReplicatedLM, prefix: ReplicatedPrompts, g: int) -> None:
        self.lm, self.g = lm, g
        hidden, runs = zip(*(lm.prefill(p, g) for p in prefix.prompts), strict=True)
        self.hidden, self.runs = torch.cat(hidden), list(runs)

    def step(self, tokens: Tensor) -> Tensor:
        parts = zip(tokens.split(self.g), self.runs, strict=True)
        return torch.cat([self.lm.decode(part, run) for part, run in parts])

    def select(self, keep: Tensor) -> None:
        self.runs = [self.runs[i] for i in keep.tolist()]
