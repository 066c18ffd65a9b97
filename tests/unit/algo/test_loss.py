from __future__ import annotations

import math

import pytest
import torch

from kinograd.algo.kl import kl_estimate
from kinograd.algo.loss import TokenBatch, cross_entropy, policy_loss
from kinograd.algo.ratio import clipped_surrogate, log_ratio
from kinograd.config.algo import Grpo, KLConfig


def test_clipping_by_hand():
    ratios = torch.tensor([1.5, 1.5, 0.5, 0.5, 1.1])
    advantages = torch.tensor([1.0, -1.0, 1.0, -1.0, 2.0])
    objective, clipped = clipped_surrogate(ratios.log(), advantages, 0.2, 0.2)
    torch.testing.assert_close(objective, torch.tensor([1.2, -1.5, 0.5, -0.8, 2.2]))
    assert clipped.tolist() == [True, False, False, True, False]


def test_clip_higher_leaves_more_room_upwards():
    objective, _ = clipped_surrogate(torch.tensor([1.26]).log(), torch.ones(1), 0.2, 0.28)
    assert objective.item() == pytest.approx(1.26)


def test_on_policy_gradient_is_the_policy_gradient():
    logprobs = torch.tensor([-1.0, -2.0], requires_grad=True)
    objective, _ = clipped_surrogate(log_ratio(logprobs, None), torch.tensor([0.5, -2.0]), None, None)
    objective.sum().backward()
    torch.testing.assert_close(logprobs.grad, torch.tensor([0.5, -2.0]))


@pytest.mark.parametrize(
    ("estimator", "expected"),
    [("k1", -0.5), ("k2", 0.125), ("k3", math.exp(0.5) - 1.5)],
)
def test_kl_estimators_by_hand(estimator, expected):
    got = kl_estimate(torch.tensor([-1.5]), torch.tensor([-1.0]), estimator, None)
    assert got.item() == pytest.approx(expected)


def test_kl_clamp_bounds_the_estimate():
    got = kl_estimate(torch.tensor([-40.0]), torch.tensor([0.0]), "k3", 10.0)
    assert got.item() == pytest.approx(math.exp(10) - 11, rel=1e-6)


def test_k3_is_an_unbiased_estimate_of_the_divergence():
    p, q = torch.tensor([0.2, 0.3, 0.5]), torch.tensor([0.4, 0.4, 0.2])
    exact = (p * (p / q).log()).sum()
    estimate = (p * kl_estimate(p.log(), q.log(), "k3", None)).sum()
    torch.testing.assert_close(estimate, exact)


def batch(**tensors):
    shape = {
        "entropy": torch.zeros(2),
        "weight": torch.tensor([0.25, 0.75]),
        "row": torch.tensor([0, 1]),
    }
    return TokenBatch(**(shape | tensors))


def test_policy_loss_with_kl_by_hand():
    logprobs = torch.tensor([-1.0, -2.0], requires_grad=True)
    algo = Grpo(kl=KLConfig(beta=0.1))
    loss, sums = policy_loss(
        batch(
            logprobs=logprobs,
            advantage=torch.tensor([1.0, -1.0]),
            old=logprobs.detach(),
            ref=torch.tensor([-1.5, -2.0]),
        ),
        algo,
        on_policy=True,
    )
    kl = math.exp(-0.5) + 0.5 - 1
    assert loss.item() == pytest.approx(-(0.25 * (1 - 0.1 * kl) + 0.75 * -1))
    assert sums["kl"].item() == pytest.approx(0.25 * kl)
    assert "clip_fraction" not in sums


def test_cross_entropy_is_the_weighted_likelihood():
    loss, _ = cross_entropy(batch(logprobs=torch.tensor([-1.0, -2.0])))
    assert loss.item() == pytest.approx(0.25 + 1.5)
