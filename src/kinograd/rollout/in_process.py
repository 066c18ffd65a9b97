"""Sample with the learner's own weights: prompt once, its keys and values stored once,
all rollouts of all groups decoded together by cascade attention.

Shape legend: N prompts, g rollouts each, R = N x g rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kinograd.config.schema import InProcess, SamplingConfig
from kinograd.keys import derive_seed
from kinograd.models.attention import DecodeState
from kinograd.models.load import VideoLM
from kinograd.models.prefix import Prefix
from kinograd.rollout.engine import Request
from kinograd.rollout.sampling import draw
from kinograd.types import Group, Rollout, StopReason


@dataclass
class _Rows:
    """Rows still running: which prompt they belong to, and their position in the output."""

    index: Tensor  # (N, g) rows of the output arrays
    prefix: Prefix
    state: DecodeState


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
        banned = torch.tensor(lm.family.banned_tokens, device=lm.device)
        prefix = lm.prefix([r.prompt for r in requests])
        rows = _start(prefix, g, budget)
        hidden = prefix.last.repeat_interleave(g, 0)
        for position in range(budget):
            live = rows.index.flatten().numpy()
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
            rows, drawn = _compact(rows, drawn, ended)
            following = rows.prefix.next_position.repeat_interleave(g) + position
            hidden = lm.decode(drawn, following, rows.state)


def _start(prefix: Prefix, g: int, budget: int) -> _Rows:
    rows = len(prefix.last) * g

    def buffer(x: Tensor) -> Tensor:
        return x.new_zeros(rows, x.shape[1], budget, x.shape[3])

    state = DecodeState(
        prefix.kv, [buffer(k) for k in prefix.kv.keys], [buffer(v) for v in prefix.kv.values]
    )
    return _Rows(torch.arange(rows).view(-1, g), prefix, state)


def _compact(rows: _Rows, drawn: Tensor, ended: np.ndarray) -> tuple[_Rows, Tensor]:
    """Drop prompts whose rollouts have all ended, once a quarter of them have."""
    n, g = rows.index.shape
    alive = ~torch.from_numpy(ended[rows.index.numpy()]).all(1)
    if int(alive.sum()) > 0.75 * n:
        return rows, drawn
    keep = alive.nonzero()[:, 0].to(drawn.device)
    flat = (keep[:, None] * g + torch.arange(g, device=drawn.device)).flatten()
    prefix = rows.prefix.select(keep)
    state = DecodeState(
        prefix.kv,
        [k[flat] for k in rows.state.keys],
        [v[flat] for v in rows.state.values],
        rows.state.filled,
    )
    return _Rows(rows.index[keep.cpu()], prefix, state), drawn[flat]
