"""Keyed randomness: every random number is a function of names, never of global state.

A run that is resumed, resharded or batched differently draws the same numbers,
because each draw is addressed by (seed, step, example, view, rollout, position).
"""

from __future__ import annotations

import hashlib

import numpy as np

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def derive_seed(*parts: object) -> int:
    """Return a 63-bit seed from any printable parts; stable across processes and versions.

    >>> derive_seed(0, "shuffle", "clip-7") == derive_seed(0, "shuffle", "clip-7")
    True
    """
    text = "\x1f".join(str(p) for p in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def generator(*parts: object) -> np.random.Generator:
    """Return a numpy generator addressed by ``parts``."""
    return np.random.default_rng(derive_seed(*parts))


def uniforms(seeds: np.ndarray, position: int) -> np.ndarray:
    """Return float64 (N,) in [0, 1): the ``position``-th draw of N independent streams.

    SplitMix64 (Steele, Lea and Flood 2014) evaluated at one counter, so a stream
    needs no state and its draws do not depend on its neighbours.

    Args:
        seeds: uint64 (N,), one stream each, from ``derive_seed``.
        position: index of the draw, from 0.
    """
    with np.errstate(over="ignore"):
        z = seeds.astype(np.uint64) + _GOLDEN * np.uint64(position + 1)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(11)).astype(np.float64) * (1.0 / (1 << 53))
