"""Attention kernels: one part of an attention and its log-sum-exp, on each device.

PyTorch's own fused kernels, which take the output and log-sum-exp of the merged attention
in their backward pass; no other package is needed. CPU: the flash kernel. CUDA: flash where
nothing is masked, memory-efficient attention where a prompt's padding is. Sliding windows on
CUDA, and every device whose fused kernels fail a small comparison, take dense formulas.

Shape legend: B rows, H heads, Q queries, P keys, d head size.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

_aten = torch.ops.aten
_LSE_BLOCK = 32  # memory-efficient attention stores lse padded to a multiple of it


def attend(
    query: Tensor, key: Tensor, value: Tensor, scale: float, causal: bool, mask: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Compute output (B, H, Q, d) and log-sum-exp (B, H, Q) of one key/value part.

    A query that sees no key of this part gets zeros and -inf.

    Args:
        mask: additive, (B, 1, 1, P) where prompts are padded, (B or 1, 1, Q, P) for windows.
    """
    if query.device.type == "cpu":
        out, lse = _aten._scaled_dot_product_flash_attention_for_cpu(
            query, key, value, 0.0, causal, attn_mask=mask, scale=scale
        )
        if mask is not None:  # the kernel says 0 where nothing is seen
            lse = lse.masked_fill(torch.isneginf(mask).all(-1), float("-inf"))
        return out, lse
    if _fused(query, mask):
        return fused_attend(query, key, value, scale, causal, mask)
    return dense_attend(query, key, value, scale, causal, mask)


def attend_backward(
    grad: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    out: Tensor,
    lse: Tensor,
    scale: float,
    causal: bool,
    mask: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute the gradients of one part from output and lse of the *merged* attention."""
    if query.device.type == "cpu":
        return _aten._scaled_dot_product_flash_attention_for_cpu_backward(
            grad, query, key, value, out, lse, 0.0, causal, attn_mask=mask, scale=scale
        )
    if _fused(query, mask):
        return fused_backward(grad, query, key, value, out, lse, scale, causal, mask)
    return dense_backward(grad, query, key, value, out, lse, scale, causal, mask)


# ------------------------------------------------------------------------ CUDA


def fused_attend(query, key, value, scale, causal, mask) -> tuple[Tensor, Tensor]:
    """Compute ``attend`` by CUDA's fused kernels."""
    if _flash(query, mask):
        out, lse, *_ = _aten._scaled_dot_product_flash_attention(
            query, key, value, 0.0, causal, False, scale=scale
        )
        return out, lse
    bias = _bias(query, key, mask)
    out, lse, *_ = _aten._scaled_dot_product_efficient_attention(
        query, key, value, bias, True, 0.0, causal, scale=scale
    )
    return out, lse[..., : query.shape[2]]


def fused_backward(
    grad, query, key, value, out, lse, scale, causal, mask
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute ``attend_backward`` by CUDA's fused kernels."""
    grad, out, lse = grad.to(query.dtype), out.to(query.dtype), lse.float().contiguous()
    if _flash(query, mask):
        # without dropout the state of the generator is passed on and never read
        state = torch.zeros(2, dtype=torch.uint64, device=query.device)
        unused = torch.empty(0, dtype=torch.uint64, device=query.device)
        ends, lengths = None, (query.shape[2], key.shape[2])
        return _aten._scaled_dot_product_flash_attention_backward(
            *(grad, query, key, value, out, lse, ends, ends, *lengths),
            *(0.0, causal, state, unused),
            scale=scale,
        )
    lse = torch.nn.functional.pad(lse, (0, -lse.shape[-1] % _LSE_BLOCK), value=float("inf"))
    state = torch.zeros((), dtype=torch.int64, device=query.device)
    grads = _aten._scaled_dot_product_efficient_attention_backward(
        *(grad, query, key, value, _bias(query, key, mask), out, lse, state, state),
        *(0.0, [True, True, True, False], causal),
        scale=scale,
    )
    return grads[0], grads[1], grads[2]


def _flash(query: Tensor, mask: Tensor | None) -> bool:
    """Return True if flash attention accepts it: half precision, nothing masked."""
    return mask is None and query.dtype in (torch.bfloat16, torch.float16)


def _bias(query: Tensor, key: Tensor, mask: Tensor | None) -> Tensor | None:
    """Expand a padding mask (B, 1, 1, P) to all heads and queries, without copies.

    The kernel wants rows that start at multiples of 16 bytes.
    """
    if mask is None:
        return None
    room = torch.nn.functional.pad(mask.to(query.dtype), (0, -mask.shape[-1] % 16))
    wide = room.expand(*query.shape[:3], room.shape[-1])
    return wide[..., : key.shape[2]]


def _fused(query: Tensor, mask: Tensor | None) -> bool:
    return (
        query.device.type == "cuda"
        and (mask is None or (mask.shape[2] == 1 < query.shape[2]))  # one query: a window?
        and query.shape[-1] % 8 == 0
        and query.shape[-1] <= 256
        and _agrees(query.device, query.dtype, query.shape[-1])
    )


@cache
def _agrees(device: torch.device, dtype: torch.dtype, d: int) -> bool:
    """Compare this device's fused kernels with the dense formulas, gradients included.

    Older GPUs, or builds without the kernels, raise or differ; they take the dense formulas.
    """
    generator = torch.Generator(device).manual_seed(0)

    def draw(n: int) -> Tensor:
        return torch.randn(2, 2, n, d, device=device, dtype=dtype, generator=generator)

    hidden = torch.zeros(2, 1, 1, 24, device=device, dtype=dtype)
    hidden[0, ..., 20:] = float("-inf")
    for length, causal, mask in ((24, False, None), (24, False, hidden), (17, True, None)):
        query, key, value, grad = draw(17), draw(length), draw(length), draw(17)
        case = (d**-0.5, causal, mask)
        exact, lse = dense_attend(query, key, value, *case)
        expected = dense_backward(grad, query, key, value, exact, lse, *case)
        try:
            out, got = fused_attend(query, key, value, *case)
            grads = fused_backward(grad, query, key, value, exact, lse, *case)
        except (RuntimeError, TypeError):  # torch says "no such kernel here" in either way
            return False
        near = 1e-3 if dtype == torch.float32 else 0.05
        pairs = zip((out, got, *grads), (exact, lse, *expected), strict=True)
        if not all(torch.allclose(a.float(), b.float(), atol=near, rtol=near) for a, b in pairs):
            return False
    return True


# ------------------------------------------------------------------ any device


def dense_attend(query, key, value, scale, causal, mask) -> tuple[Tensor, Tensor]:
    """Compute ``attend`` with the full matrix of scores, on any device."""
    scores = _scores(query, key, scale, causal, mask)
    lse = scores.logsumexp(-1)
    weights = torch.exp(scores - lse.nan_to_num(neginf=0.0)[..., None])
    return weights.to(value.dtype) @ value, lse


def dense_backward(grad, query, key, value, out, lse, scale, causal, mask):
    """Compute ``attend_backward`` with the full matrix of scores."""
    finite = lse.nan_to_num(neginf=0.0)[..., None]
    weights = torch.exp(_scores(query, key, scale, causal, mask) - finite)
    grad_weights = grad.to(weights.dtype) @ value.to(weights.dtype).transpose(-1, -2)
    delta = (grad.to(weights.dtype) * out.to(weights.dtype)).sum(-1, keepdim=True)
    grad_scores = (weights * (grad_weights - delta) * scale).to(query.dtype)
    grad_value = weights.to(grad.dtype).transpose(-1, -2) @ grad
    return grad_scores @ key, grad_scores.transpose(-1, -2) @ query, grad_value


def _scores(query: Tensor, key: Tensor, scale: float, causal: bool, mask: Tensor | None) -> Tensor:
    wide = torch.promote_types(query.dtype, torch.float32)
    with torch.autocast(query.device.type, enabled=False):  # it would multiply in bfloat16
        scores = (query.to(wide) @ key.to(wide).transpose(-1, -2)) * scale
    if mask is not None:
        scores = scores + mask
    if causal:
        hidden = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).triu(1)
        scores = scores.masked_fill(hidden, float("-inf"))
    return scores
