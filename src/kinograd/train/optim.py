"""Optimizer and learning-rate schedule."""

from __future__ import annotations

import math

import torch
from torch import nn

from kinograd.config.schema import OptimConfig


def learning_rate(step: int, total: int, config: OptimConfig) -> float:
    """Return the rate of update ``step`` (from 0) of ``total``: warm-up, then the schedule.

    >>> round(learning_rate(50, 100, OptimConfig(lr=1.0, schedule="linear")), 2)
    0.5
    """
    if step < config.warmup_steps:
        return config.lr * (step + 1) / config.warmup_steps
    done = min(1.0, (step - config.warmup_steps) / max(1, total - config.warmup_steps))
    match config.schedule:
        case "linear":
            share = 1 - done
        case "cosine":
            share = 0.5 * (1 + math.cos(math.pi * done))
        case _:
            share = 1.0
    return config.lr * (config.final_lr_fraction + (1 - config.final_lr_fraction) * share)


def make_optimizer(model: nn.Module, config: OptimConfig) -> torch.optim.AdamW:
    """Make AdamW (arXiv 1711.05101) over the trained weights; vectors do not decay."""
    trainable = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trainable if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in trainable if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, eps=config.eps)
