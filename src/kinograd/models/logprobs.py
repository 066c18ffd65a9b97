"""Log-probabilities and entropies of chosen tokens without the [tokens, vocabulary] logits.

Logits exist for one chunk of tokens at a time and are recomputed in the backward pass,
so the memory of the head does not grow with the number of completions.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

CHUNK = 1024

PartLoss = Callable[[Tensor, Tensor, slice], Tensor]
"""Maps log-probs, entropies and slice of a chunk to the chunk's share of a summed loss."""


class _ChunkedLogprobs(torch.autograd.Function):
    @staticmethod
    def forward(ctx, hidden, weight, targets, temperature, banned, chunk):
        n = hidden.shape[0]
        matrix = weight.to(hidden.dtype)
        wide = torch.promote_types(hidden.dtype, torch.float32)
        logprobs, lse, entropy = (hidden.new_empty(n, dtype=wide) for _ in range(3))
        for i in range(0, n, chunk):
            part = slice(i, i + chunk)
            logits = chunk_logits(hidden[part], matrix, temperature, banned)
            lse[part] = logits.logsumexp(-1)
            chosen = logits.gather(1, targets[part, None])[:, 0]
            logprobs[part] = chosen - lse[part]
            probs = torch.softmax(logits, -1)
            entropy[part] = lse[part] - (probs * logits.clamp_min(-1e30)).sum(-1)
        ctx.save_for_backward(hidden, weight, targets, lse, banned)
        ctx.options = temperature, chunk
        ctx.mark_non_differentiable(entropy)
        return logprobs, entropy

    @staticmethod
    def backward(ctx, *grads):
        grad = grads[0]
        hidden, weight, targets, lse, banned = ctx.saved_tensors
        temperature, chunk = ctx.options
        matrix = weight.to(hidden.dtype)
        grad_hidden = torch.empty_like(hidden)
        grad_weight = torch.zeros_like(weight) if ctx.needs_input_grad[1] else None
        for i in range(0, hidden.shape[0], chunk):
            part = slice(i, i + chunk)
            logits = chunk_logits(hidden[part], matrix, temperature, banned)
            slope = -torch.exp(logits - lse[part, None])  # d logprob / d logits, minus one-hot
            slope.scatter_add_(1, targets[part, None], torch.ones_like(slope[:, :1]))
            slope = (slope * (grad[part] / temperature)[:, None]).to(hidden.dtype)
            grad_hidden[part] = slope @ matrix
            if grad_weight is not None:
                grad_weight += slope.t() @ hidden[part]
        return grad_hidden, grad_weight, None, None, None, None


def chunk_logits(
    hidden: Tensor, matrix: Tensor, temperature: float, banned: Tensor | None
) -> Tensor:
    """Compute logits (n, V) in at least float32, over the temperature; -inf where banned."""
    logits = (hidden @ matrix.t()).to(torch.promote_types(hidden.dtype, torch.float32))
    if temperature != 1.0:
        logits = logits / temperature
    if banned is not None:
        logits.index_fill_(1, banned, float("-inf"))
    return logits


def token_logprobs(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    *,
    temperature: float = 1.0,
    banned: Tensor | None = None,
    chunk: int = CHUNK,
) -> tuple[Tensor, Tensor]:
    """Compute log pi(target | context), with gradients, and entropies, without.

    Args:
        hidden: (n, D) final hidden states that predict ``targets``.
        weight: (V, D) output embedding.
        targets: (n,) token ids.
        temperature: sampling temperature that the log-probabilities refer to.
        banned: token ids that the sampler never draws (vision placeholders).

    Returns:
        Two tensors (n,), float32 (float64 for float64 inputs), in nats.
    """
    return _ChunkedLogprobs.apply(hidden, weight, targets, temperature, banned, chunk)


class _FusedLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx, hidden, weight, targets, temperature, banned, chunk, part_loss):
        matrix = weight.to(hidden.dtype)
        grad_hidden = torch.empty_like(hidden)
        grad_weight = torch.zeros_like(weight) if ctx.needs_input_grad[1] else None
        total = hidden.new_zeros((), dtype=torch.promote_types(hidden.dtype, torch.float32))
        for i in range(0, hidden.shape[0], chunk):
            part = slice(i, i + chunk)
            logits = chunk_logits(hidden[part], matrix, temperature, banned)
            lse = logits.logsumexp(-1)
            probs = torch.exp(logits - lse[:, None])
            entropy = lse - (probs * logits.clamp_min(-1e30)).sum(-1)
            chosen = logits.gather(1, targets[part, None])[:, 0] - lse
            with torch.enable_grad():
                logprobs = chosen.detach().requires_grad_()
                share = part_loss(logprobs, entropy, part)
                (slope,) = torch.autograd.grad(share, logprobs)
            total += share.detach()
            probs.neg_().scatter_add_(1, targets[part, None], torch.ones_like(probs[:, :1]))
            probs = (probs * (slope / temperature)[:, None]).to(hidden.dtype)
            grad_hidden[part] = probs @ matrix
            if grad_weight is not None:
                grad_weight += probs.t() @ hidden[part]
        ctx.save_for_backward(grad_hidden, grad_weight)
        return total

    @staticmethod
    def backward(ctx, *grads):
        grad_hidden, grad_weight = ctx.saved_tensors
        scale = grads[0]
        if grad_weight is not None:
            grad_weight = grad_weight * scale
        return grad_hidden * scale.to(grad_hidden.dtype), grad_weight, None, None, None, None, None


def fused_loss(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    part_loss: PartLoss,
    *,
    temperature: float = 1.0,
    banned: Tensor | None = None,
    chunk: int = CHUNK,
) -> Tensor:
    """Compute a loss that sums over tokens, and its gradients in the forward pass.

    A chunk's logits are used at once for its loss and gradients and never recomputed, which
    takes three products with the vocabulary instead of four. ``part_loss`` may look only
    at its own chunk's tokens; other arguments as for ``token_logprobs``.
    """
    return _FusedLoss.apply(hidden, weight, targets, temperature, banned, chunk, part_loss)
