"""Sample with the learner's own weights: prompt once, its keys and values stored once,
all rollouts of all groups decoded together by cascade attention (models/decoding).

Shape legend: N prompts, g rollouts each, R = N x g rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kinograd.config.schema import InProcess, SamplingConfig
from kinograd.keys import derive_seed
from kinograd.models.decoding import Decoding
from kinograd.models.load import VideoLM
from kinograd.rollout.engine import Request
from kinograd.rollout.sampling import draw
from kinograd.types import Group, Rollout, StopReason, UsageError


class InProcessEngine:
    """An Engine over a loaded model. It shares the learner's weights: nothing to sync."""

    def __init__(self, model: VideoLM, config: InProcess) -> None:
        self.model = model
        self.config = config

    @torch.no_grad()
    def generate(
        self,
        requests: Sequence[Request],
        sampling: SamplingConfig,
        *,
        key: tuple[object, ...],
        progress: Callable[[int], None] | None = None,
    ) -> list[Group]:
        """See ``Engine.generate``. Requests of equal n and similar length run together."""
        lm = self.model.lm
        training = lm.training
        lm.eval()
        try:
            groups: dict[int, Group] = {}
            for batch in self._batches(requests):
                some = [requests[i] for i in batch]
                groups.update(zip(batch, self._run(some, sampling, key), strict=True))
                if progress is not None:
                    progress(len(batch))
        finally:
            lm.train(training)
        return [groups[i] for i in range(len(requests))]

    def _batches(self, requests: Sequence[Request]) -> list[list[int]]:
        """Indices of requests that decode together: equal n, at most ``max_rows`` rows."""
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
        n, g, budget = len(requests), requests[0].n, sampling.max_new_tokens
        seeds = np.array(
            [derive_seed(*key, r.example.id, r.view.name, i) for r in requests for i in range(g)],
            dtype=np.uint64,
        )
        tokens = np.zeros((n * g, budget), np.int64)
        logprobs = np.zeros((n * g, budget), np.float32)
        lengths = np.full(n * g, budget)
        ended = np.zeros(n * g, bool)
        self._decode(requests, g, sampling, seeds, tokens, logprobs, lengths, ended)
        tokenizer = self.model.tokenizer
        texts = tokenizer.batch_decode(
            [row[:length] for row, length in zip(tokens, lengths, strict=True)],
            skip_special_tokens=True,
        )
        rollouts = [
            Rollout(
                tokens[i, : lengths[i]].copy(),
                logprobs[i, : lengths[i]].copy(),
                texts[i],
                StopReason.END if ended[i] else StopReason.LENGTH,
            )
            for i in range(n * g)
        ]
        return [
            Group(r.example, r.view, tuple(rollouts[i * g : (i + 1) * g]))
            for i, r in enumerate(requests)
        ]

    def _decode(self, requests, g, sampling, seeds, tokens, logprobs, lengths, ended) -> None:
        """Fill the output arrays (rows, budget) in place, one position at a time."""
        lm, budget, end = self.model.lm, sampling.max_new_tokens, self.model.end_token
        temperature = sampling.temperature or 1.0
        bad = bad_tokens(self.model.tokenizer, sampling.bad_words)
        banned = torch.tensor([*lm.family.banned_tokens, *bad], device=lm.device)
        prefix = lm.prefix([r.prompt for r in requests])
        decoding = lm.start_decoding(prefix, g, budget)
        rows = torch.arange(len(requests) * g).view(-1, g)  # of the output arrays
        hidden = decoding.hidden
        for position in range(budget):
            live = rows.flatten().numpy()
            logits = lm.next_logits(hidden, temperature, banned)
            drawn, logprob = draw(logits, sampling, seeds[live], position)
            running = ~ended[live]
            tokens[live[running], position] = drawn.cpu().numpy()[running]
            logprobs[live[running], position] = logprob.float().cpu().numpy()[running]
            newly = running & (drawn.cpu().numpy() == end)
            ended[live[newly]] = True
            lengths[live[newly]] = position + 1
            if ended[live].all() or position + 1 == budget:
                return
            rows, drawn = _compact(decoding, rows, drawn, ended)
            hidden = decoding.step(drawn)


def bad_tokens(tokenizer: Any, words: Sequence[str]) -> list[int]:
    """Ids of words that may not be drawn, alone and after a space.

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
        rows: (N, g) rows of the output arrays that still run.
        drawn: (N x g,) their newest tokens.
    """
    alive = ~torch.from_numpy(ended[rows.numpy()]).all(1)
    if int(alive.sum()) > 0.75 * len(rows):
        return rows, drawn
    keep = alive.nonzero()[:, 0]
    decoding.select(keep.to(drawn.device))
    return rows[keep], drawn.view(rows.shape)[keep.to(drawn.device)].flatten()
