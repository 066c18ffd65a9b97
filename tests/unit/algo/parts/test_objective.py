"""Objectives by hand: the number, and the gradient with respect to log pi."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from kinograd.algo.base import Algorithm
from kinograd.algo.cispo import Cispo
from kinograd.algo.dapo import Dapo
from kinograd.algo.ema_grpo import EmaGrpo
from kinograd.algo.grpo import Grpo
from kinograd.algo.gspo import Gspo, GspoToken
from kinograd.algo.parts.objective import (
    clipped_surrogate,
    log_ratio,
    policy_objective,
    sequence_average,
)
from kinograd.algo.sapo import Sapo


def run(
    algo: Algorithm, ratios: list[float], advantages: list[float], row: list[int] | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Objective, clipped and d sum(objective) / d log pi for tokens with these ratios."""
    ratio = torch.tensor(ratios, dtype=torch.float64)
    old = torch.full_like(ratio, -2.0)
    logprobs = (ratio.log() + old).requires_grad_()
    rows = torch.tensor(row if row is not None else range(len(ratios)))
    weights = torch.tensor(advantages, dtype=torch.float64)
    objective, clipped = policy_objective(logprobs, old, weights, rows, algo)
    (grad,) = torch.autograd.grad(objective.sum(), logprobs)
    return objective.detach(), clipped, grad


def close(got: Tensor, expected: list[float]) -> None:
    torch.testing.assert_close(got, torch.tensor(expected, dtype=torch.float64))


def test_clipping_by_hand():
    objective, clipped, grad = run(Grpo(), [1.5, 1.5, 0.5, 0.5, 1.1], [1, -1, 1, -1, 2])
    close(objective, [1.2, -1.5, 0.5, -0.8, 2.2])
    assert clipped.tolist() == [True, False, False, True, False]
    close(grad, [0, -1.5, 0.5, 0, 2.2])  # r A, or nothing


def test_clip_higher_leaves_more_room_upwards():
    objective, clipped, _ = run(Dapo(), [1.26, 1.3, 0.7], [1, 1, -1])
    close(objective, [1.26, 1.28, -0.8])
    assert clipped.tolist() == [False, True, True]


def test_two_sided_clip_bounds_what_a_bad_token_can_cost():
    # A < 0: r = 10 counts as 3; A > 0 is bounded by 1 + 0.3 anyway
    objective, clipped, grad = run(EmaGrpo(), [10, 2, 10], [-1, -1, 1])
    close(objective, [-3, -2, 1.3])
    assert clipped.tolist() == [True, False, True]
    close(grad, [0, -2, 0])


def test_on_policy_gradient_is_the_policy_gradient():
    logprobs = torch.tensor([-1.0, -2.0], requires_grad=True)
    advantages = torch.tensor([0.5, -2.0])
    objective, _ = clipped_surrogate(log_ratio(logprobs, None), advantages, None, None)
    objective.sum().backward()
    torch.testing.assert_close(logprobs.grad, advantages)


@pytest.mark.parametrize("algo", [Grpo(), Gspo(), GspoToken(), Cispo(), Sapo(), EmaGrpo()])
def test_every_objective_starts_as_the_policy_gradient(algo):
    # Ratio 1: summed with weights 1 / L, the gradient of a response is A / L per token
    _, clipped, grad = run(algo, [1.0] * 3, [2.0, 2.0, -1.0], [0, 0, 1])
    close(grad, [2.0, 2.0, -1.0])
    assert not clipped.any()


def test_sequence_average_by_hand():
    got = sequence_average(torch.tensor([1.0, 3.0, 5.0]), torch.tensor([0, 0, 1]))
    assert got.tolist() == [2.0, 2.0, 5.0]


def test_gspo_by_hand():
    # Response 0: ratios 4 and 1, s = sqrt(4 * 1) = 2, inside a wide clip; A = 1.
    # Response 1: ratio 0.5, clipped to 0.9 with A = -1.
    algo = Gspo(clip_low=0.1, clip_high=2.0)
    objective, clipped, grad = run(algo, [4.0, 1.0, 0.5], [1, 1, -1], [0, 0, 1])
    close(objective, [2, 2, -0.9])
    assert clipped.tolist() == [False, False, True]
    # d (2 s A) / d log pi_t = 2 s A / L = 2, whatever the token's own ratio
    close(grad, [2, 2, 0])


def test_gspo_token_is_gspo_where_advantages_are_equal():
    algo = {"clip_low": 0.1, "clip_high": 2.0}
    same = ([4.0, 1.0, 1.2], [1.0, 1.0, -1.0], [0, 0, 1])
    for one, other in zip(run(Gspo(**algo), *same), run(GspoToken(**algo), *same), strict=True):
        torch.testing.assert_close(one, other)
    # with advantages of their own, each token answers for itself: s A_t = 2 A_t
    _, _, grad = run(GspoToken(**algo), [4.0, 1.0], [1.0, 3.0], [0, 0])
    close(grad, [2, 6])
    _, _, mixed = run(Gspo(**algo), [4.0, 1.0], [1.0, 3.0], [0, 0])
    close(mixed, [4, 4])


def test_cispo_by_hand():
    # Weights 6 -> 5 and 0.2 stay constants; the objective is weight * A * log pi
    objective, clipped, grad = run(Cispo(), [6.0, 0.2], [1, -1])
    close(grad, [5, -0.2])
    close(objective, [5 * (math.log(6) - 2), -0.2 * (math.log(0.2) - 2)])
    assert clipped.tolist() == [True, False]


def test_sapo_by_hand():
    # r = 2: A > 0: 4 sigmoid(1) = 2.924234; slope 4 sigmoid(1) (1 - sigmoid(1)) r = 1.572896
    # A < 0: tau 1.05: sigmoid(1.05) = 0.740775; 4 / 1.05 * that = 2.822000
    objective, _, grad = run(Sapo(), [2.0, 2.0], [1, -1])
    torch.testing.assert_close(
        objective, torch.tensor([2.924234, -2.822000], dtype=torch.float64), rtol=0, atol=1e-6
    )
    assert grad[0].item() == pytest.approx(1.572896, abs=1e-6)
    assert -grad[1] < grad[0]  # negative advantages are damped more


def test_sequence_ratios_do_not_mix_responses():
    algo = Gspo(clip_low=None, clip_high=None)
    together, _, _ = run(algo, [4.0, 1.0, 9.0], [1, 1, 1], [0, 0, 1])
    alone, _, _ = run(algo, [9.0], [1])
    torch.testing.assert_close(together[2], alone[0])
