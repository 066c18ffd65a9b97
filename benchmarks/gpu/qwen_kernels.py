"""One layer's attention by fused kernels against dense formulas."""

from __future__ import annotations

from typing import Any

import torch
from measuring import measure, rounded
from qwen_shapes import Shape
from torch import Tensor

from kinograd.models import kernels

NAMES = ("out", "lse", "query", "key", "value")


def kernel_costs(shape: Shape, device: torch.device, v: int, c: int, g: int) -> dict[str, Any]:
    """Milliseconds of forward and backward of both parts of the cascade, and relative gaps.

    A group's queries against the prompt, of which the last eighth may be padding, and each
    row against itself. Where the device's fused kernels fail the library's own comparison
    (``agrees`` is false) it never uses them, and nothing is timed.
    """
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    d, kv = shape.head_size, shape.kv_heads
    agrees = device.type == "cpu" or kernels._agrees(device, dtype, d)
    folded, prompt = (1, kv, shape.heads // kv * g * c, d), (1, kv, v, d)
    own = (g, shape.heads, c, d)
    padding = torch.zeros(1, 1, 1, v, device=device, dtype=dtype)
    padding[..., -v // 8 :] = float("-inf")
    cases = {
        "prompt": (folded, prompt, False, None),
        "padded_prompt": (folded, prompt, False, padding),
        "own": (own, own, True, None),
    }
    out: dict[str, Any] = {"agrees": agrees}
    for name, case in cases.items() if agrees else ():
        out[name] = _compare(device, dtype, *case)
        print(f"  kernels, {name}: {rounded(out[name])}", flush=True)
    return out


def _compare(device, dtype, queries, keys, causal, mask) -> dict[str, Any]:
    query, grad = (torch.randn(queries, device=device, dtype=dtype) for _ in range(2))
    key, value = (torch.randn(keys, device=device, dtype=dtype) for _ in range(2))
    case = (queries[-1] ** -0.5, causal, mask)
    exact, lse = kernels.dense_attend(query, key, value, *case)

    def both(attend, backward) -> tuple[Tensor, ...]:
        first = attend(query, key, value, *case)
        return *first, *backward(grad, query, key, value, exact, lse, *case)

    ways = {
        "fused": (kernels.attend, kernels.attend_backward),
        "dense": (kernels.dense_attend, kernels.dense_backward),
    }
    results = {way: [x.float() for x in both(*pair)] for way, pair in ways.items()}
    ms = {
        f"{way}_ms": 1000 * measure(lambda pair=pair: both(*pair), device, lambda: None)[0]
        for way, pair in ways.items()
    }
    gaps = [
        float((a - b).norm() / b.norm())
        for a, b in zip(results["fused"], results["dense"], strict=True)
    ]
    return ms | {"gap": dict(zip(NAMES, gaps, strict=True))}
