from __future__ import annotations

import math

import pytest
import torch

from kinograd.algo.grpo import Grpo
from kinograd.algo.parts.kl import kl_estimate
from kinograd.algo.parts.loss import TokenBatch, cross_entropy, policy_loss
from kinograd.algo.parts.settings import KLConfig
from kinograd.algo.rloo import Rloo


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
            sampler_logprobs=logprobs.detach(),
            ref_logprobs=torch.tensor([-1.5, -2.0]),
        ),
        algo,
    )
    kl = math.exp(-0.5) + 0.5 - 1
    assert loss.item() == pytest.approx(-(0.25 * (1 - 0.1 * kl) + 0.75 * -1))
    assert sums["kl"].item() == pytest.approx(0.25 * kl)
    assert "clip_fraction" not in sums


def test_cross_entropy_is_the_weighted_likelihood():
    loss, _ = cross_entropy(batch(logprobs=torch.tensor([-1.0, -2.0])))
    assert loss.item() == pytest.approx(0.25 + 1.5)


def test_unbiased_kl_is_the_estimate_times_the_ratio():
    # x = 0.5: k3 = e^0.5 - 1.5 = 0.148721; ratio 2: 0.297443, and its gradient with
    # respect to log pi is r (k3 + 1 - e^0.5) = 2 (0.148721 - 0.648721) = -1
    logprobs = torch.tensor([-1.5], dtype=torch.float64, requires_grad=True)
    ratio = logprobs - (logprobs.detach() - math.log(2))
    kl = kl_estimate(logprobs, logprobs.detach() + 0.5, "k3", None, ratio)
    kl.sum().backward()
    assert kl.item() == pytest.approx(2 * (math.exp(0.5) - 1.5))
    assert logprobs.grad.item() == pytest.approx(-1.0)


def test_unbiased_kl_of_an_older_policys_samples():
    """Tokens drawn from pi_old: the corrected estimate averages to KL(pi || pi_ref), and so
    does its gradient; the plain one does not."""
    logits = torch.tensor([0.1, 0.7, -0.3], dtype=torch.float64, requires_grad=True)
    old = torch.tensor([0.7, 0.1, 0.2], dtype=torch.float64)
    ref = torch.tensor([0.4, 0.4, 0.2], dtype=torch.float64)
    log_p = logits.log_softmax(0)
    exact = (log_p.exp() * (log_p - ref.log())).sum()
    corrected = (old * kl_estimate(log_p, ref.log(), "k3", None, log_p - old.log())).sum()
    plain = (old * kl_estimate(log_p, ref.log(), "k3", None)).sum()
    torch.testing.assert_close(corrected, exact)
    grads = [torch.autograd.grad(x, logits, retain_graph=True)[0] for x in (exact, corrected)]
    torch.testing.assert_close(grads[1], grads[0])
    assert abs(plain - exact) > 0.1 * exact


def test_kl_in_the_reward_leaves_the_loss_alone():
    logprobs = torch.tensor([-1.0, -2.0], requires_grad=True)
    tensors = {"logprobs": logprobs, "advantage": torch.ones(2), "ref_logprobs": torch.zeros(2)}
    _, sums = policy_loss(batch(**tensors), Rloo(kl=KLConfig(beta=1.0, place="reward")))
    assert "kl" not in sums


def test_importance_multiplies_the_objective_but_not_the_kl():
    logprobs = torch.tensor([-1.0, -2.0], requires_grad=True)
    loss, sums = policy_loss(
        batch(
            logprobs=logprobs,
            advantage=torch.tensor([1.0, -1.0]),
            ref_logprobs=torch.tensor([-1.5, -2.0]),
            importance=torch.tensor([0.5, 0.0]),
        ),
        Grpo(kl=KLConfig(beta=0.1)),
    )
    kl = math.exp(-0.5) + 0.5 - 1
    assert loss.item() == pytest.approx(-0.25 * (0.5 - 0.1 * kl))
    assert sums["importance"].item() == pytest.approx(0.25 * 0.5)
