"""Examples of a step: a keyed shuffle per epoch, addressed by step alone."""

from __future__ import annotations

from kinograd.keys import generator


def batch_indices(step: int, size: int, n: int, *seed: object) -> list[int]:
    """Return ``size`` indices into ``n`` examples for ``step`` (from 0).

    Every epoch is one permutation of all examples; a batch may straddle two. Only the
    arguments matter, so a resumed run continues in the same order.

    >>> sorted(batch_indices(0, 3, 6, "seed") + batch_indices(1, 3, 6, "seed"))
    [0, 1, 2, 3, 4, 5]
    """
    out: list[int] = []
    position = step * size
    while len(out) < size:
        epoch, offset = divmod(position + len(out), n)
        order = generator(*seed, "order", epoch).permutation(n)
        out.extend(int(i) for i in order[offset : offset + size - len(out)])
    return out
