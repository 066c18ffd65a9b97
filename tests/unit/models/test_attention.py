"""The kernels of one part against each other and autograd, and their merge."""

from __future__ import annotations

import pytest
import torch

from kinograd.models import kernels
from kinograd.models.attention import CascadeAttention
from kinograd.models.kernels import (
    attend,
    attend_backward,
    dense_attend,
    dense_backward,
    fused_attend,
    fused_backward,
)

SCALE = 0.25


def normal(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def blind_mask():
    """Padding for one prompt, and a query of the other that sees nothing."""
    mask = torch.zeros(2, 1, 5, 7, dtype=torch.float64)
    mask[1, :, :, 4:] = float("-inf")
    mask[0, :, 2] = float("-inf")
    return mask


@pytest.mark.parametrize(("causal", "mask", "keys"), [(False, blind_mask(), 7), (True, None, 5)])
def test_dense_and_cpu_kernels_agree(causal, mask, keys):
    query, key, value = normal(2, 3, 5, 16), normal(2, 3, keys, 16), normal(2, 3, keys, 16)
    grad = normal(2, 3, 5, 16, seed=1)
    out, lse = attend(query, key, value, SCALE, causal, mask)
    dense, dense_lse = dense_attend(query, key, value, SCALE, causal, mask)
    torch.testing.assert_close(dense, out)
    torch.testing.assert_close(dense_lse, lse)
    finite = lse.nan_to_num(neginf=0.0)
    torch.testing.assert_close(
        dense_backward(grad, query, key, value, out, finite, SCALE, causal, mask),
        attend_backward(grad, query, key, value, out, finite, SCALE, causal, mask),
    )


def test_merged_attention_and_its_gradients_are_those_of_one_attention():
    """Two prompts of unequal length, three rows each, grouped-query heads, in float64."""
    prompts, rows, heads, kv_heads, length, own, d = 2, 6, 4, 2, 7, 5, 8
    shapes = [(rows, heads, own, d), (rows, kv_heads, own, d), (rows, kv_heads, own, d)]
    shapes += [(prompts, kv_heads, length, d)] * 2
    inputs = [normal(*s, seed=i).requires_grad_() for i, s in enumerate(shapes)]
    mask = torch.zeros(prompts, 1, 1, length, dtype=torch.float64)
    mask[1, ..., 5:] = float("-inf")

    def merged(query, key, value, prefix_key, prefix_value):
        return CascadeAttention.apply(
            query, key, value, prefix_key, prefix_value, mask, None, SCALE
        )

    def joined(query, key, value, prefix_key, prefix_value):
        def wide(x):
            return x.repeat_interleave(heads // kv_heads, 1)

        keys = torch.cat([prefix_key.repeat_interleave(3, 0), key], 2)
        values = torch.cat([prefix_value.repeat_interleave(3, 0), value], 2)
        causal = torch.full((own, own), float("-inf"), dtype=torch.float64).triu(1)
        both = torch.cat(
            [mask.repeat_interleave(3, 0).expand(-1, 1, own, -1), causal.expand(rows, 1, -1, -1)],
            -1,
        )
        scores = query @ wide(keys).transpose(-1, -2) * SCALE + both
        return scores.softmax(-1) @ wide(values)

    weight = normal(rows, heads, own, d, seed=9)
    expected = torch.autograd.grad((joined(*inputs) * weight).sum(), inputs)
    got = torch.autograd.grad((merged(*inputs) * weight).sum(), inputs)
    torch.testing.assert_close(merged(*inputs), joined(*inputs))
    torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_fused_kernels_take_what_they_are_given(dtype, padded):
    """On the meta device: arguments and shapes only. Numbers are compared on a GPU, below."""
    query, grad = (torch.empty(2, 3, 10, 16, device="meta", dtype=dtype) for _ in range(2))
    key, value = (torch.empty(2, 3, 7, 16, device="meta", dtype=dtype) for _ in range(2))
    mask = torch.empty(2, 1, 1, 7, device="meta", dtype=dtype) if padded else None
    out, lse = fused_attend(query, key, value, SCALE, False, mask)
    assert (out.shape, lse.shape, lse.dtype) == (query.shape, (2, 3, 10), torch.float32)
    grads = fused_backward(grad, query, key, value, out, lse, SCALE, False, mask)
    assert [g.shape for g in grads] == [query.shape, key.shape, value.shape]


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_this_gpus_fused_kernels_agree_with_dense_formulas(dtype):
    assert kernels._agrees(torch.device("cuda", 0), dtype, 128)
