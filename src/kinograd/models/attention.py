"""Shared-prefix ("cascade") attention, registered with transformers under one name.

A group is one prompt and G completions. The prompt's keys and values are computed
once; every completion attends to them and, causally, to itself. The two partial
attentions are merged by their log-sum-exp. Merging and letting autograd differentiate
each part is wrong (each kernel treats its own lse as a constant), so one
autograd.Function calls each kernel's backward with the *merged* output and lse, as
ring attention does (Liu et al. 2023, arXiv 2310.01889).

Transformers hands extra keyword arguments down to the attention function, so no model
code is forked: ``language_model(..., shared=state)`` reaches ``shared_attention`` in
every layer.

Shape legend: N prompts, R = N x g rows of completions, H query heads, K key/value heads
(H = K x m), P prompt length (padded), C completion length (padded), d head size.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from kinograd.models.kernels import attend, attend_backward

NAME = "kinograd_shared"


# These three are plain classes on purpose: FSDP2 copies dataclasses that pass through a
# sharded module, and a copy would collect nothing.


class PrefixCapture:
    """Collector of each layer's prompt keys and values.

    It keeps the first ones: gradient checkpointing runs the attention function again during
    the backward pass, and must not replace them.
    """

    def __init__(self) -> None:
        self.keys: dict[int, Tensor] = {}  # layer -> (N, K, P, d)
        self.values: dict[int, Tensor] = {}


class PrefixKV:
    """Prompt keys and values by layer, with the mask of padded positions.

    ``mask`` is None when no prompt is padded, else additive (N, 1, 1, P): 0 or -inf.
    """

    def __init__(self, keys: list[Tensor], values: list[Tensor], mask: Tensor | None) -> None:
        self.keys = keys
        self.values = values
        self.mask = mask


class DecodeState:
    """Prompt keys and values, with buffers (R, K, T, d) for those of the rows' own tokens."""

    def __init__(
        self, prefix: PrefixKV, keys: list[Tensor], values: list[Tensor], filled: int = 0
    ) -> None:
        self.prefix = prefix
        self.keys = keys
        self.values = values
        self.filled = filled


def _fold(x: Tensor, n_prompts: int, kv_heads: int) -> Tensor:
    """Reshape (R, H, C, ...) to (N, K, m*g*C, ...): a prompt's queries, by key head.

    Against the prompt nothing is causal, so grouped-query attention and the rows of a
    group become one longer query axis: no copy of the prompt's keys is ever made.
    """
    rows, heads, length, *rest = x.shape
    x = x.view(n_prompts, rows // n_prompts, kv_heads, heads // kv_heads, length, *rest)
    return x.permute(0, 2, 3, 1, 4, *range(5, x.dim())).reshape(n_prompts, kv_heads, -1, *rest)


def _unfold(x: Tensor, rows: int, heads: int, length: int) -> Tensor:
    """Undo ``_fold``; return (R, H, C, ...)."""
    n_prompts, kv_heads, _, *rest = x.shape
    x = x.view(n_prompts, kv_heads, heads // kv_heads, rows // n_prompts, length, *rest)
    return x.permute(0, 3, 1, 2, 4, *range(5, x.dim())).reshape(rows, heads, length, *rest)


class CascadeAttention(torch.autograd.Function):
    """Attention of completions to shared prompt and own past, with exact gradients."""

    @staticmethod
    def forward(ctx, query, key, value, prefix_key, prefix_value, mask, own_mask, scale):
        rows, heads, length, _ = query.shape
        n_prompts, kv_heads = prefix_key.shape[:2]
        groups = heads // kv_heads
        out_p, lse_p = attend(
            _fold(query, n_prompts, kv_heads), prefix_key, prefix_value, scale, False, mask
        )
        out_p = _unfold(out_p, rows, heads, length)
        lse_p = _unfold(lse_p[..., None], rows, heads, length)[..., 0]
        out_s, lse_s = attend(
            query,
            repeat_kv(key, groups),
            repeat_kv(value, groups),
            scale,
            own_mask is None,
            own_mask,
        )
        lse = torch.logaddexp(lse_p, lse_s)
        out = out_p * (lse_p - lse).exp()[..., None] + out_s * (lse_s - lse).exp()[..., None]
        out = out.to(query.dtype).contiguous()
        ctx.save_for_backward(query, key, value, prefix_key, prefix_value, mask, own_mask, out, lse)
        ctx.scale = scale
        return out

    @staticmethod
    def backward(ctx, *grads):
        (grad,) = grads
        query, key, value, prefix_key, prefix_value, mask, own_mask, out, lse = ctx.saved_tensors
        rows, heads, length, _ = query.shape
        n_prompts, kv_heads = prefix_key.shape[:2]
        groups = heads // kv_heads
        grad, lse = grad.contiguous(), lse.contiguous()

        def fold(x: Tensor) -> Tensor:
            return _fold(x, n_prompts, kv_heads).contiguous()

        grad_q, grad_pk, grad_pv = attend_backward(
            fold(grad),
            fold(query),
            prefix_key,
            prefix_value,
            fold(out),
            fold(lse[..., None])[..., 0].contiguous(),
            ctx.scale,
            False,
            mask,
        )
        own_q, own_k, own_v = attend_backward(
            grad,
            query,
            repeat_kv(key, groups),
            repeat_kv(value, groups),
            out,
            lse,
            ctx.scale,
            own_mask is None,
            own_mask,
        )
        own_k, own_v = (
            x.reshape(rows, kv_heads, groups, length, -1).sum(2) for x in (own_k, own_v)
        )
        grad_q = _unfold(grad_q, rows, heads, length) + own_q
        return grad_q, own_k, own_v, grad_pk, grad_pv, None, None, None


def _window_masks(
    prefix: PrefixKV, layer: int, window: int, steps: Tensor, past: Tensor, copies: int
) -> tuple[Tensor, Tensor]:
    """Build the additive masks of a sliding-window layer, for prompt and own tokens.

    Args:
        window: how many tokens a query sees, itself included.
        steps: (C,) places of the queries in their completions.
        past: (J,) places of the keys in the completions.
        copies: queries that share a prompt and a step, see ``_fold``.

    Returns:
        (N, 1, copies * C, P), and (1, 1, C, J), which is causal too.
    """
    key = prefix.keys[layer]
    n, length = key.shape[0], key.shape[2]
    places = torch.arange(length, device=key.device)
    if prefix.mask is None:
        lengths = torch.full((n,), length, device=key.device)
    else:
        lengths = (prefix.mask[:, 0, 0] == 0).sum(-1)
    ahead = lengths[:, None] + steps - places[:, None, None]  # (P, N, C)
    seen = (ahead < window) & (places[:, None, None] < lengths[:, None])
    hidden = torch.tensor(float("-inf"), dtype=key.dtype, device=key.device)
    prompt = torch.where(seen.permute(1, 2, 0)[:, None], 0.0, hidden).to(key.dtype)
    gap = steps[:, None] - past
    own = torch.where((gap >= 0) & (gap < window), 0.0, hidden).to(key.dtype)
    return prompt.repeat(1, 1, copies, 1), own[None, None]


def decode_attention(
    query: Tensor, layer: int, state: DecodeState, scale: float, window: int | None
) -> Tensor:
    """Attend from one new token per row, (R, H, 1, d), to the prompt and the row's past."""
    rows, heads, _, _ = query.shape
    prefix_key, prefix_value = state.prefix.keys[layer], state.prefix.values[layer]
    n_prompts, kv_heads = prefix_key.shape[:2]
    n = state.filled + 1
    mask, own_mask = state.prefix.mask, None
    if window is not None:
        places = torch.arange(n, device=query.device)
        copies = heads // kv_heads * rows // n_prompts
        mask, own_mask = _window_masks(state.prefix, layer, window, places[-1:], places, copies)
    out_p, lse_p = attend(
        _fold(query, n_prompts, kv_heads), prefix_key, prefix_value, scale, False, mask
    )
    out_p = _unfold(out_p, rows, heads, 1)
    lse_p = _unfold(lse_p[..., None], rows, heads, 1)
    own = query.view(rows, kv_heads, heads // kv_heads, -1)  # one token: nothing is causal
    out_s, lse_s = attend(
        own, state.keys[layer][:, :, :n], state.values[layer][:, :, :n], scale, False, own_mask
    )
    out_s, lse_s = out_s.reshape(rows, heads, 1, -1), lse_s.reshape(rows, heads, 1, 1)
    weight = torch.sigmoid(lse_p - lse_s).to(out_s.dtype)
    return out_s + (out_p - out_s) * weight


def shared_attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    shared: PrefixKV | PrefixCapture | DecodeState | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attend in one text layer; transformers calls it under the name ``NAME``."""
    window = getattr(module, "sliding_window", None)
    layer = module.layer_idx
    # Under autocast the rotation leaves queries and keys in float32, values in bfloat16.
    query, key = query.to(value.dtype), key.to(value.dtype)
    if isinstance(shared, PrefixKV):
        mask, own_mask = shared.mask, None
        prefix_key, prefix_value = shared.keys[layer], shared.values[layer]
        if window is not None:
            copies = query.shape[1] // key.shape[1] * query.shape[0] // prefix_key.shape[0]
            steps = torch.arange(query.shape[2], device=query.device)
            mask, own_mask = _window_masks(shared, layer, window, steps, steps, copies)
        out = CascadeAttention.apply(
            query, key, value, prefix_key, prefix_value, mask, own_mask, scaling
        )
        return out.transpose(1, 2), None
    if isinstance(shared, DecodeState):
        shared.keys[layer][:, :, shared.filled] = key[:, :, 0]
        shared.values[layer][:, :, shared.filled] = value[:, :, 0]
        return decode_attention(query, layer, shared, scaling, window).transpose(1, 2), None
    if isinstance(shared, PrefixCapture):
        shared.keys.setdefault(layer, key)
        shared.values.setdefault(layer, value)
        attention_mask = None  # right-padded and causal: no real token sees the padding
        if window is not None:
            places = torch.arange(query.shape[2], device=query.device)
            gap = places[:, None] - places
            attention_mask = ((gap >= 0) & (gap < window))[None, None]
    return sdpa_attention_forward(
        module, query, key, value, attention_mask, scaling=scaling, **kwargs
    )


AttentionInterface.register(NAME, shared_attention)
AttentionMaskInterface.register(NAME, sdpa_mask)  # plain calls keep their padding masks
