"""Learner: gradients of a batch of train items, the update, and log-probabilities.

SFT and RL differ only in the loss over completion tokens that they pass in. Prompts and
clips run once per update however many completions share them (see models/prefix).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from kinograd.algo.parts.loss import TokenBatch
from kinograd.config.schema import OptimConfig
from kinograd.models.load import VideoLM
from kinograd.models.prefix import Prefix, PrefixLM, backward_prefix
from kinograd.train import parallel
from kinograd.train.batching import MicroBatch, TrainItem, make_packs, micro_batches
from kinograd.train.optim import learning_rate, make_optimizer
from kinograd.types import KinogradError

Loss = Callable[[TokenBatch], tuple[Tensor, dict[str, Tensor]]]


class Diverged(KinogradError):
    """Raised when the gradient is not finite; the weights are those before the update."""


class Learner:
    """Trains one model, whose optimizer it owns.

    Args:
        temperature: sampling temperature that policy log-probabilities refer to.
        ban_vision: leave vision placeholders out of the distribution, as samplers do.
    """

    def __init__(
        self,
        model: VideoLM,
        config: OptimConfig,
        *,
        total_steps: int,
        temperature: float = 1.0,
        ban_vision: bool = False,
    ) -> None:
        self.model = model
        self.config = config
        self.total_steps = total_steps
        self.temperature = temperature
        self.optimizer = make_optimizer(model.lm, config)
        banned = model.family.banned_tokens if ban_vision else ()
        self.banned = torch.tensor(banned, device=model.lm.device) if banned else None
        self.updates = 0

    def accumulate(
        self, items: Sequence[TrainItem], loss: Loss, *, token_local: bool = True
    ) -> dict[str, float]:
        """Add the gradients of all items to the weights' ``.grad``.

        Memory is that of one pack's prompts and one micro-batch of their completions. Ranks
        with less work than others repeat some of it with weight zero, so that all make the
        same calls; sharded gradients are exchanged in the last backward pass only.

        Args:
            token_local: the loss of a token depends on no other token, so it can be fused
                into the head.

        Returns:
            The loss's sums over this rank's batch.
        """
        lm, budget = self.model.lm, self.config.micro_tokens
        sums: dict[str, float] = defaultdict(float)
        packs = make_packs(items, budget)
        n_packs = parallel.most(len(packs))
        for i in range(n_packs):
            pack = packs[min(i, len(packs) - 1)]
            micros = list(micro_batches(items, pack, budget, lm.device))
            n_micros = parallel.most(len(micros))
            parallel.exchange_at(lm, False)
            prefix = lm.prefix([items[t].prompt for t in pack.items])
            leaves = prefix.leaves()
            last = i + 1 == n_packs
            for j in range(n_micros):
                micro = micros[min(j, len(micros) - 1)]
                if i >= len(packs) or j >= len(micros):
                    micro = replace(micro, weight=torch.zeros_like(micro.weight))
                if last and j + 1 == n_micros and not prefix.needs_backward:
                    parallel.exchange_at(lm, True)
                value = self._loss(leaves, micro, loss, token_local, sums)
                value.backward()
            if last:
                parallel.exchange_at(lm, True)
            backward_prefix(prefix, leaves)
        return dict(sums)

    def _loss(
        self, leaves: Prefix, micro: MicroBatch, loss: Loss, token_local: bool, sums: dict
    ) -> Tensor:
        """Return the loss of one micro-batch and add its parts to ``sums``."""

        def share(logprobs: Tensor, entropy: Tensor, tokens: slice) -> Tensor:
            value, parts = loss(micro.batch(logprobs, entropy, tokens))
            for name, part in parts.items():
                sums[name] += float(part)
            return value

        lm = self.model.lm
        options = {"temperature": self.temperature, "banned": self.banned}
        if token_local:
            return lm.loss(leaves, micro.token_ids, micro.valid, share, **options)
        return share(*lm.logprobs(leaves, micro.token_ids, micro.valid, **options), slice(None))

    def score(
        self, items: Sequence[TrainItem], lm: PrefixLM | None = None
    ) -> list[list[np.ndarray]]:
        """Compute log-probabilities of every completion, float32 (L,), by item.

        Args:
            lm: the policy; None for the model that is trained.
        """
        return self.statistics(items, lm)[0]

    @torch.no_grad()
    def statistics(
        self, items: Sequence[TrainItem], lm: PrefixLM | None = None
    ) -> tuple[list[list[np.ndarray]], list[list[np.ndarray]]]:
        """Compute log-probabilities and entropies of every completion, float32 (L,) each.

        Dropout is off, as it is for the sampler.
        """
        lm = lm or self.model.lm
        training = lm.training
        lm.eval()
        try:
            return self._statistics(items, lm)
        finally:
            lm.train(training)

    def _statistics(
        self, items: Sequence[TrainItem], lm: PrefixLM
    ) -> tuple[list[list[np.ndarray]], list[list[np.ndarray]]]:
        empty = [[np.empty(0, np.float32)] * len(t.completions) for t in items]
        out = empty, [list(row) for row in empty]
        for pack in make_packs(items, self.config.micro_tokens):
            prefix = lm.prefix([items[i].prompt for i in pack.items])
            for micro in micro_batches(items, pack, self.config.micro_tokens, lm.device):
                flats = [x.float().cpu().numpy() for x in self._logprobs(lm, prefix, micro)]
                start = 0
                for item, i in filter(None, micro.where):
                    length = len(items[item].completions[i].token_ids)
                    for rows, flat in zip(out, flats, strict=True):
                        rows[item][i] = flat[start : start + length]
                    start += length
        return out

    def _logprobs(self, lm: PrefixLM, prefix, micro: MicroBatch) -> tuple[Tensor, Tensor]:
        return lm.logprobs(
            prefix, micro.token_ids, micro.valid, temperature=self.temperature, banned=self.banned
        )

    def step(self) -> dict[str, float]:
        """Clip and apply the gradient, and clear it.

        Returns:
            ``grad_norm`` before clipping, and ``lr``.

        Raises:
            Diverged: the gradient holds NaN or infinity; no weight has changed.
        """
        trainable = [p for p in self.model.lm.parameters() if p.requires_grad]
        norm = torch.nn.utils.clip_grad_norm_(trainable, self.config.max_grad_norm)
        norm = parallel.whole(norm)
        if not torch.isfinite(norm):
            raise Diverged(
                f"the gradient of update {self.updates + 1} is not finite; the run stops before "
                "it. Lower optim.lr, or look at the last rollouts for a runaway reward"
            )
        rate = learning_rate(self.updates, self.total_steps, self.config)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.updates += 1
        return {"grad_norm": float(norm), "lr": rate}

    # ------------------------------------------------------------- checkpoints

    def tensors(self) -> dict[str, dict[str, Tensor]]:
        """Return the trained weights and the optimizer's moments, by parameter name."""
        names: dict[Tensor, str] = {
            p: n for n, p in self.model.lm.named_parameters() if p.requires_grad
        }
        moments = {
            f"{names[p]}.{key}": value
            for p, state in self.optimizer.state.items()
            for key, value in state.items()
        }
        return {"weights": {n: p.detach() for p, n in names.items()}, "optimizer": moments}

    @torch.no_grad()
    def restore(self, tensors: Mapping[str, Mapping[str, Tensor]], updates: int) -> None:
        """Load weights and moments that ``tensors`` returned.

        Raises:
            KinogradError: the checkpoint trains other weights.
        """
        named = {n: p for n, p in self.model.lm.named_parameters() if p.requires_grad}
        if set(named) != set(tensors["weights"]):
            raise KinogradError("the checkpoint trains other weights than this recipe")
        for name, value in tensors["weights"].items():
            named[name].copy_(value)
        for full, value in tensors["optimizer"].items():
            name, key = full.rsplit(".", 1)
            p = named[name]
            self.optimizer.state[p][key] = value if key == "step" else value.to(p.device)
        self.updates = updates
