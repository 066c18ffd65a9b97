from __future__ import annotations

import pytest
import torch

from kinograd.models.logprobs import fused_loss, token_logprobs


def inputs(dtype=torch.float64, n=7, d=5, v=11):
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(n, d, generator=generator, dtype=dtype, requires_grad=True)
    weight = torch.randn(v, d, generator=generator, dtype=dtype, requires_grad=True)
    return hidden, weight, torch.randint(0, v - 2, (n,), generator=generator)


def plain(hidden, weight, targets, temperature, banned):
    logits = hidden @ weight.t() / temperature
    if banned is not None:
        logits = logits.index_fill(1, banned, float("-inf"))
    logprobs = logits.log_softmax(-1)
    entropy = torch.distributions.Categorical(logits=logits).entropy()
    return logprobs.gather(1, targets[:, None])[:, 0], entropy


BANNED = torch.tensor([9, 10])


@pytest.mark.parametrize("chunk", [1, 3, 100])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("banned", [None, BANNED])
def test_values_and_gradients_are_those_of_full_logits(chunk, temperature, banned):
    hidden, weight, targets = inputs()
    expected, entropy = plain(hidden, weight, targets, temperature, banned)
    slopes = torch.linspace(-1, 1, len(targets), dtype=torch.float64)
    (slopes * expected).sum().backward()
    grads = hidden.grad, weight.grad
    hidden.grad = weight.grad = None
    got, got_entropy = token_logprobs(
        hidden, weight, targets, temperature=temperature, banned=banned, chunk=chunk
    )
    (slopes * got).sum().backward()
    torch.testing.assert_close(got, expected)
    torch.testing.assert_close(got_entropy, entropy)
    torch.testing.assert_close((hidden.grad, weight.grad), grads)


@pytest.mark.parametrize("chunk", [1, 3, 100])
@pytest.mark.parametrize("banned", [None, BANNED])
def test_the_fused_loss_equals_the_loss_of_log_probs(chunk, banned):
    hidden, weight, targets = inputs()
    aim = torch.linspace(-2, 0, len(targets), dtype=torch.float64)

    def loss(logprobs, entropy, part):
        return ((logprobs - aim[part]) ** 2 + 0.0 * entropy).sum()

    expected = loss(*plain(hidden, weight, targets, 0.7, banned), slice(None))
    (2 * expected).backward()
    grads = hidden.grad, weight.grad
    hidden.grad = weight.grad = None
    got = fused_loss(hidden, weight, targets, loss, temperature=0.7, banned=banned, chunk=chunk)
    (2 * got).backward()
    torch.testing.assert_close(got, expected)
    torch.testing.assert_close((hidden.grad, weight.grad), grads)


def test_a_frozen_head_gets_no_gradient():
    hidden, weight, targets = inputs()
    weight.requires_grad_(False)
    fused_loss(hidden, weight, targets, lambda x, _, __: x.sum()).backward()
    assert hidden.grad is not None
    assert weight.grad is None
