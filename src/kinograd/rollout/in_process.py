"""Sample with the learner's own weights: prompt once, its keys and values stored once,
all rollouts of all groups decoded together by cascade attention (models/prefix).

Shape legend: N prompts, g rollouts each, R = N x g rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kinograd.config.rollout import InProcess, SamplingConfig
from kinograd.keys import derive_seed
from kinograd.models.load import VideoLM
from kinograd.models.prefix import Decoding
from kinograd.rollout.engine import Request
from kinograd.rollout.sampling import draw
from kinograd.types import Group, Rollout, StopReason, UsageError


class InProcessEngine:
    """An ``Engine`` over the learner's own weights and kernels.

    It has no copy of the weights to sync and keeps no memory between calls.
    """

    exact = True

    def __init__(self, model: VideoLM, config: InProcess) -> None:
        self.model = model
        self.config = config

    @torch.no_grad()
    def generate(
        self, requests: Sequence[Request], sampling: SamplingConfig, *, key: tuple[object, ...]
    ) -> list[Group]:
        """Sample as ``Engine.generate`` says; requests of equal n and similar length together."""
        lm = self.model.lm
        training = lm.training
        lm.eval()
        try:
            groups: dict[int, Group] = {}
            for batch in self._batches(requests):
                some = [requests[i] for i in batch]
                groups.update(zip(batch, self._run(some, sampling, key), strict=True))
        finally:
            lm.train(training)
        return [groups[i] for i in range(len(requests))]

    def sync(self, version: int) -> None:
        """Do nothing: the weights are the learner's."""

    def sleep(self) -> None:
        """Do nothing: keys and values are freed at the end of ``generate``."""

    def wake(self) -> None:
        """Do nothing: see ``sleep``."""

    def close(self) -> None:
        """Do nothing: nothing was started."""

    def _batches(self, requests: Sequence[Request]) -> list[list[int]]:
        """Group the indices of requests of equal n, at most ``max_rows`` rows a batch."""
        order = sorted(
            range(len(requests)),
            key=lambda i: (requests[i].n, len(requests[i].prompt.input_ids)),
        )
        batches: list[list[int]] = []
        for i in order:
            n = requests[i].n
            room = max(1, self.config.max_rows // n)
            if batches and requests[batches[-1][0]].n == n and len(batches[-1]) < room:
                batches[-1].append(i)
            else:
                batches.append([i])
        return batches

    def _run(
        self, requests: list[Request], sampling: SamplingConfig, key: tuple[object, ...]
    ) -> list[Group]:
        g = requests[0].n
        rollouts = self._decode(requests, sampling, key).rollouts(self.model.tokenizer)
        return [
            Group(r.example, r.view, tuple(rollouts[i * g : (i + 1) * g]))
            for i, r in enumerate(requests)
        ]

    def _decode(
        self, requests: list[Request], sampling: SamplingConfig, key: tuple[object, ...]
    ) -> Rows:
        """Sample all rollouts of ``requests``, which have equal n, position by position."""
        lm, g, budget = self.model.lm, requests[0].n, sampling.max_new_tokens
        names = [(r.example.id, r.view.name, i) for r in requests for i in range(g)]
        seeds = np.array([derive_seed(*key, *name) for name in names], dtype=np.uint64)
        temperature = sampling.temperature or 1.0
        bad = bad_tokens(self.model.tokenizer, sampling.bad_words)
        banned = torch.tensor([*lm.family.banned_tokens, *bad], device=lm.device)
        decoding = lm.start_decoding(lm.prefix([r.prompt for r in requests]), g, budget)
        rows = Rows.empty(len(names), budget, self.model.end_tokens)
        running = torch.arange(len(names)).view(-1, g)  # indices into ``rows``, by prompt
        hidden = decoding.hidden
        for position in range(budget):
            live = running.flatten().numpy()
            logits = lm.next_logits(hidden, temperature, banned)
            drawn, logprobs = draw(logits, sampling, seeds[live], position)
            rows.append(live, position, drawn, logprobs)
            if rows.ended[live].all() or position + 1 == budget:
                break
            running, drawn = _compact(decoding, running, drawn, rows.ended)
            hidden = decoding.step(drawn)
        return rows


@dataclass(frozen=True)
class Rows:
    """Tokens of R rollouts while they are sampled.

    Attributes:
        tokens: int64 (R, L), L the largest number of tokens.
        logprobs: float32 (R, L), of the tokens.
        lengths: int64 (R,), tokens that count; L while a row has not ended.
        ended: bool (R,), rows that drew an end token.
        end_tokens: ids of the tokens that end a row.
    """

    tokens: np.ndarray
    logprobs: np.ndarray
    lengths: np.ndarray
    ended: np.ndarray
    end_tokens: tuple[int, ...]

    @classmethod
    def empty(cls, rows: int, budget: int, end_tokens: tuple[int, ...]) -> Rows:
        """Make rows without tokens, with room for ``budget`` each."""
        tokens = np.zeros((rows, budget), np.int64)
        logprobs = np.zeros((rows, budget), np.float32)
        return cls(tokens, logprobs, np.full(rows, budget), np.zeros(rows, bool), end_tokens)

    def append(self, live: np.ndarray, position: int, drawn: Tensor, logprobs: Tensor) -> None:
        """Store the tokens that the rows ``live`` drew at ``position``, unless they ended."""
        running = ~self.ended[live]
        rows, tokens = live[running], drawn.cpu().numpy()[running]
        self.tokens[rows, position] = tokens
        self.logprobs[rows, position] = logprobs.float().cpu().numpy()[running]
        ending = rows[np.isin(tokens, self.end_tokens)]
        self.ended[ending] = True
        self.lengths[ending] = position + 1

    def rollouts(self, tokenizer: Any) -> list[Rollout]:
        """Return one rollout per row, its text without control tokens."""
        kept = [row[:n] for row, n in zip(self.tokens, self.lengths, strict=True)]
        texts = tokenizer.batch_decode(kept, skip_special_tokens=True)
        return [
            Rollout(
                kept[i].copy(),
                self.logprobs[i, : self.lengths[i]].copy(),
                texts[i],
                StopReason.END if self.ended[i] else StopReason.LENGTH,
            )
            for i in range(len(kept))
        ]


def bad_tokens(tokenizer: Any, words: Sequence[str]) -> list[int]:
    """List the ids of words that may not be drawn, alone and after a space.

    Raises:
        UsageError: a word that is no single token: banning its parts would ban other words.
    """
    out: list[int] = []
    for word in words:
        forms = [tokenizer.encode(w, add_special_tokens=False) for w in (word, f" {word}")]
        single = [ids[0] for ids in forms if len(ids) == 1]
        if not single:
            raise UsageError(f"sampling.bad_words: {word!r} is not one token of this model")
        out += single
    return out


def _compact(
    decoding: Decoding, rows: Tensor, drawn: Tensor, ended: np.ndarray
) -> tuple[Tensor, Tensor]:
    """Drop prompts whose rollouts have all ended, once a quarter of them have.

    Args:
        rows: (N, g) indices of the rows that still run.
        drawn: (N x g,) their newest tokens.
    """
    alive = ~torch.from_numpy(ended[rows.numpy()]).all(1)
    if int(alive.sum()) > 0.75 * len(rows):
        return rows, drawn
    keep = alive.nonzero()[:, 0]
    decoding.select(keep.to(drawn.device))
    return rows[keep], drawn.view(rows.shape)[keep.to(drawn.device)].flatten()
