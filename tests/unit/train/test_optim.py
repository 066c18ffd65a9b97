"""The learning rate by hand, and AdamW against its paper's formula."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from kinograd.config.schema import OptimConfig
from kinograd.train.optim import learning_rate, make_optimizer


@pytest.mark.parametrize(
    ("schedule", "step", "share"),
    [
        ("constant", 0, 1.0),
        ("constant", 99, 1.0),
        ("linear", 0, 1.0),
        ("linear", 25, 0.75),
        ("linear", 100, 0.0),
        ("cosine", 0, 1.0),
        ("cosine", 25, 0.5 * (1 + math.sqrt(0.5))),
        ("cosine", 50, 0.5),
        ("cosine", 100, 0.0),
    ],
)
def test_schedules_by_hand(schedule: str, step: int, share: float) -> None:
    config = OptimConfig(lr=0.2, schedule=schedule)  # type: ignore[arg-type]
    assert learning_rate(step, 100, config) == pytest.approx(0.2 * share, abs=1e-12)


def test_the_first_update_of_a_warm_up_already_moves() -> None:
    config = OptimConfig(lr=1.0, warmup_steps=4, schedule="linear")
    rates = [learning_rate(step, 8, config) for step in range(9)]
    assert rates == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0, 0.75, 0.5, 0.25, 0.0])


def test_a_floor_is_kept() -> None:
    config = OptimConfig(lr=1.0, final_lr_fraction=0.1)
    assert learning_rate(100, 100, config) == pytest.approx(0.1)
    assert learning_rate(50, 100, config) == pytest.approx(0.55)


def test_rates_are_never_negative_past_the_end() -> None:
    for schedule in ("linear", "cosine", "constant"):
        config = OptimConfig(lr=1.0, schedule=schedule)  # type: ignore[arg-type]
        assert learning_rate(150, 100, config) >= 0, schedule


def test_matrices_decay_and_vectors_do_not() -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.LayerNorm(2))
    model[0].weight.requires_grad_(True)
    frozen = nn.Parameter(torch.ones(2, 2), requires_grad=False)
    model.register_parameter("frozen", frozen)
    optimizer = make_optimizer(model, OptimConfig(weight_decay=0.5))
    decay = {id(p): g["weight_decay"] for g in optimizer.param_groups for p in g["params"]}
    assert decay.pop(id(model[0].weight)) == 0.5
    assert set(decay.values()) == {0.0}
    assert len(decay) == 3
    assert id(frozen) not in decay


def test_two_steps_are_adamws() -> None:
    """Loshchilov and Hutter 2017 (arXiv 1711.05101), algorithm 2, worked out here."""
    config = OptimConfig(lr=0.1, betas=(0.8, 0.9), eps=1e-3, weight_decay=0.2)
    model = nn.Linear(2, 2, bias=False)
    weight = model.weight.detach().double().clone()
    optimizer = make_optimizer(model, config)
    first, second = torch.zeros_like(weight), torch.zeros_like(weight)
    for t, scale in enumerate((1.0, -3.0), start=1):
        gradient = scale * torch.tensor([[1.0, 2.0], [-1.0, 0.5]])
        model.weight.grad = gradient.clone()
        optimizer.step()
        g = gradient.double()
        first, second = 0.8 * first + 0.2 * g, 0.9 * second + 0.1 * g * g
        hat_1, hat_2 = first / (1 - 0.8**t), second / (1 - 0.9**t)
        weight = weight * (1 - 0.1 * 0.2) - 0.1 * hat_1 / (hat_2.sqrt() + 1e-3)
    torch.testing.assert_close(model.weight.detach().double(), weight, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    "wrong", [{"betas": (0.9, 1.0)}, {"eps": 0}, {"max_grad_norm": 0}, {"warmup_steps": -1}]
)
def test_numbers_that_adamw_or_clipping_cannot_use_are_refused(wrong: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        OptimConfig(**wrong)
