"""Several processes: what the learner needs of them, and sharded weights (PyTorch's FSDP2).

Launched by torchrun, SLURM or ``accelerate launch``, which set RANK and WORLD_SIZE. The
learner keeps three promises, so that any of them works: every rank makes the same number
of calls, gradients are exchanged in the last backward pass of an update only, and loss
weights carry normalisers that were summed over all ranks.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method

from kinograd.models.prefix import PrefixLM
from kinograd.types import UsageError


def several() -> bool:
    """Return True if there is more than one rank."""
    return dist.is_initialized() and dist.get_world_size() > 1


def most(value: int) -> int:
    """Return the largest ``value`` of any rank."""
    if not several():
        return value
    largest = torch.tensor(value)
    dist.all_reduce(largest, dist.ReduceOp.MAX)
    return int(largest)


def shard(lm: PrefixLM) -> None:
    """Spread weights, gradients and optimizer state over all ranks, layer by layer.

    Gradients are summed, not averaged: normalisers are global already. A frozen tower is
    gathered with the root, not block by block: ranks use their cached features at
    different times, and a call that only some ranks make would hang.

    Raises:
        UsageError: replicated rows of an unknown architecture have no known layers.
    """
    if not lm.shares_prefix:
        raise UsageError("sharding needs a model whose prompts are shared; see models/families")
    layers = list(lm.family.language_model(lm.model).layers)
    if not lm.tower_frozen:
        layers += lm.family.blocks(lm.model)
        lm.force_vision_forward = True
    for layer in layers:
        fully_shard(layer)
    fully_shard(lm)
    for method in ("prefix", "logprobs", "loss", "decode", "next_logits"):
        register_fsdp_forward_method(lm, method)
    for module in lm.modules():
        if isinstance(module, FSDPModule):
            module.set_force_sum_reduction_for_comms(True)  # gloo has no scaled sum
            module.set_gradient_divide_factor(1.0)


def exchange_at(lm: PrefixLM, now: bool) -> None:
    """Choose if the next backward pass of sharded weights exchanges gradients."""
    if isinstance(lm, FSDPModule):
        lm.set_requires_gradient_sync(now)


def whole(tensor: Tensor) -> Tensor:
    """Gather a sharded tensor on every rank; return others as they are."""
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor  # type: ignore[attr-defined]
