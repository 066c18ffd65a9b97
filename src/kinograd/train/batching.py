"""Rectangular micro-batches of train items: which prompts and which completions run together.

This module alone decides about padding and memory; the gradients do not depend on it.

Shape legend: N prompts, g completions each, C padded length, L tokens of one completion,
M tokens of a micro-batch without padding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kinograd.algo.parts.loss import TokenBatch
from kinograd.models.prompt import Prompt


@dataclass(frozen=True)
class TrainCompletion:
    """One response with the loss's inputs per token; every array has shape (L,).

    ``weight`` includes the normalisers of the minibatch. For the log-probabilities of other
    policies and for ``importance`` see ``TokenBatch``. ``keep`` (bool) leaves tokens out of
    loss and normalisers; None keeps all.
    """

    token_ids: np.ndarray
    weight: np.ndarray
    advantage: np.ndarray | None = None
    sampler_logprobs: np.ndarray | None = None
    old_logprobs: np.ndarray | None = None
    ref_logprobs: np.ndarray | None = None
    importance: np.ndarray | None = None
    keep: np.ndarray | None = None

    @property
    def kept(self) -> int:
        """Number of tokens in loss and normalisers."""
        return len(self.token_ids) if self.keep is None else int(self.keep.sum())

    @property
    def teaches(self) -> bool:
        """True if some token has an advantage other than zero."""
        return self.advantage is not None and bool(self.advantage.any())


@dataclass(frozen=True)
class TrainItem:
    """One prompt and the completions that share it."""

    prompt: Prompt
    completions: tuple[TrainCompletion, ...]


@dataclass(frozen=True)
class Pack:
    """Items whose prompts run as one padded batch, by their index in the list of items.

    ``rows[i]`` orders item i's completions by length, longest first, so that
    micro-batches of rows pad little.
    """

    items: tuple[int, ...]
    rows: tuple[tuple[int, ...], ...]


def make_packs(items: Sequence[TrainItem], micro_tokens: int) -> list[Pack]:
    """Group items of similar prompt length; returns packs.

    A pack grows while its padded prompts, and one completion of each, stay within
    ``micro_tokens``.
    """

    def width(item: TrainItem) -> int:
        return max(len(item.prompt.input_ids), *(len(c.token_ids) for c in item.completions))

    order = sorted(
        range(len(items)),
        key=lambda i: (len(items[i].prompt.input_ids), len(items[i].completions)),
    )
    batches: list[list[int]] = []
    widest = 0
    for i in order:
        widest = max(widest, width(items[i]))
        if batches and (len(batches[-1]) + 1) * widest <= micro_tokens:
            batches[-1].append(i)
        else:
            batches.append([i])
            widest = width(items[i])
    return [Pack(tuple(b), tuple(_by_length(items[i]) for i in b)) for b in batches]


def _by_length(item: TrainItem) -> tuple[int, ...]:
    lengths = [len(c.token_ids) for c in item.completions]
    return tuple(sorted(range(len(lengths)), key=lambda i: -lengths[i]))


@dataclass(frozen=True)
class MicroBatch:
    """Rows of a pack: ids and validity (N, g, C), and the loss's inputs as flat (M,).

    ``row`` numbers the completion of each token, fillers not counted. ``where`` names each
    row's (item, completion), None for a filler, in (N, g) order.
    """

    token_ids: Tensor
    valid: Tensor
    row: Tensor
    weight: Tensor
    advantage: Tensor | None
    sampler_logprobs: Tensor | None
    old_logprobs: Tensor | None
    ref_logprobs: Tensor | None
    importance: Tensor | None
    where: tuple[tuple[int, int] | None, ...]

    def batch(self, logprobs: Tensor, entropy: Tensor, tokens: slice) -> TokenBatch:
        """Collect the loss's inputs for ``tokens``, a slice of the M."""

        def some(values: Tensor | None) -> Tensor | None:
            return None if values is None else values[tokens]

        return TokenBatch(
            logprobs,
            entropy,
            weight=self.weight[tokens],
            row=self.row[tokens],
            advantage=some(self.advantage),
            sampler_logprobs=some(self.sampler_logprobs),
            old_logprobs=some(self.old_logprobs),
            ref_logprobs=some(self.ref_logprobs),
            importance=some(self.importance),
        )


def micro_batches(
    items: Sequence[TrainItem], pack: Pack, micro_tokens: int, device: torch.device
) -> Iterator[MicroBatch]:
    """Split a pack's completions so that N x g x C stays within ``micro_tokens``."""
    n, start = len(pack.items), 0
    width = max(len(rows) for rows in pack.rows)
    while start < width:
        longest = max(
            len(items[t].completions[rows[start]].token_ids)
            for t, rows in zip(pack.items, pack.rows, strict=True)
            if start < len(rows)
        )
        g = min(width - start, max(1, micro_tokens // (n * longest)))
        where = tuple(
            (t, rows[j]) if j < len(rows) else None
            for t, rows in zip(pack.items, pack.rows, strict=True)
            for j in range(start, start + g)
        )
        yield _collate(items, where, (n, g, longest), device)
        start += g


_PER_TOKEN = (
    "weight",
    "advantage",
    "sampler_logprobs",
    "old_logprobs",
    "ref_logprobs",
    "importance",
)


def _collate(items, where, shape: tuple[int, int, int], device: torch.device) -> MicroBatch:
    ids = np.zeros((len(where), shape[2]), np.int64)
    valid = np.zeros((len(where), shape[2]), bool)
    chosen = []
    for row, place in enumerate(where):
        if place is not None:
            completion = items[place[0]].completions[place[1]]
            ids[row, : len(completion.token_ids)] = completion.token_ids
            valid[row, : len(completion.token_ids)] = True
            chosen.append(completion)
    flat: dict[str, Tensor | None] = {}
    for name in _PER_TOKEN:
        arrays = [getattr(c, name) for c in chosen]
        if any(a is None for a in arrays):
            flat[name] = None
        else:
            joined = np.concatenate(arrays).astype(np.float32)
            flat[name] = torch.from_numpy(joined).to(device)
    row = np.repeat(np.arange(len(chosen)), [len(c.token_ids) for c in chosen])
    return MicroBatch(
        torch.from_numpy(ids).view(shape).to(device),
        torch.from_numpy(valid).view(shape).to(device),
        torch.from_numpy(row).to(device),
        where=where,
        **flat,  # type: ignore[arg-type]
    )
