"""Which examples a step sees: every epoch a permutation, addressed by step alone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kinograd.datasets.sampler import batch_indices

SIZES = {"n": st.integers(1, 40), "size": st.integers(1, 50), "seed": st.integers(0, 5)}


def stream(n: int, size: int, steps: int, *seed: object) -> list[int]:
    return [i for step in range(steps) for i in batch_indices(step, size, n, *seed)]


@given(**SIZES)
def test_every_epoch_shows_every_example_once(n: int, size: int, seed: int) -> None:
    seen = stream(n, size, 3 * n // size + 2, seed)
    for epoch in range(3):
        assert sorted(seen[epoch * n : (epoch + 1) * n]) == list(range(n))


@given(step=st.integers(0, 10**6), **SIZES)
def test_a_batch_is_addressed_by_its_step_alone(step: int, n: int, size: int, seed: int) -> None:
    halves = batch_indices(2 * step, size, n, seed) + batch_indices(2 * step + 1, size, n, seed)
    assert halves == batch_indices(step, 2 * size, n, seed)


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    first, second = stream(30, 30, 2, 0)[:30], stream(30, 30, 2, 0)[30:]
    assert first != second
    assert first != stream(30, 30, 1, 1)
    assert first != list(range(30))
