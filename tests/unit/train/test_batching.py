"""Tasks into rectangles: nothing lost, nothing doubled, budgets kept, order named."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from kinograd.train.batching import TrainCompletion, TrainItem, make_packs, micro_batches

CPU = torch.device("cpu")
# Per item: prompt length and the lengths of its completions.
SHAPES = st.lists(
    st.tuples(st.integers(1, 40), st.lists(st.integers(1, 30), min_size=1, max_size=6)),
    min_size=1,
    max_size=7,
)
BUDGETS = st.sampled_from([1, 7, 40, 100, 300, 10**6])


def make_tasks(shapes: list[tuple[int, list[int]]]) -> list[TrainItem]:
    """Every token of every completion is a number of its own."""
    items, token = [], 0
    for prompt, lengths in shapes:
        completions = []
        for n in lengths:
            ids = np.arange(token, token + n)
            token += n
            completions.append(
                TrainCompletion(ids, ids / 7, advantage=ids / 3, sampler_logprobs=-ids / 2)
            )
        prompt = SimpleNamespace(input_ids=np.zeros(prompt))
        items.append(TrainItem(prompt, tuple(completions)))  # type: ignore[arg-type]
    return items


@given(shapes=SHAPES, budget=BUDGETS)
def test_every_task_is_in_one_pack_and_prompts_fill_the_budget(shapes, budget) -> None:
    items = make_tasks(shapes)
    packs = make_packs(items, budget)
    assert sorted(t for p in packs for t in p.items) == list(range(len(items)))
    for pack in packs:
        longest = max(len(items[t].prompt.input_ids) for t in pack.items)
        assert len(pack.items) == 1 or len(pack.items) * longest <= budget
        for item, rows in zip(pack.items, pack.rows, strict=True):
            lengths = [len(items[item].completions[r].token_ids) for r in rows]
            assert sorted(rows) == list(range(len(items[item].completions)))
            assert lengths == sorted(lengths, reverse=True)


@given(shapes=SHAPES, budget=BUDGETS)
def test_micro_batches_hold_every_token_once_and_keep_the_budget(shapes, budget) -> None:
    items = make_tasks(shapes)
    seen: list[int] = []
    for pack in make_packs(items, budget):
        for micro in micro_batches(items, pack, budget, CPU):
            n, g, width = micro.token_ids.shape
            assert n == len(pack.items)
            # One row of one prompt cannot be split any further.
            assert micro.token_ids.numel() <= budget or n * g == 1
            assert len(micro.where) == n * g
            assert micro.valid.any(-1).flatten().tolist() == [w is not None for w in micro.where]
            for row, place in enumerate(micro.where):
                if place is not None:
                    ids = items[place[0]].completions[place[1]].token_ids
                    kept = micro.token_ids.view(-1, width)[row][micro.valid.view(-1, width)[row]]
                    assert kept.tolist() == ids.tolist()
                    assert pack.items[row // g] == place[0]
            tokens = micro.token_ids[micro.valid]  # row-major, as the flat inputs are
            for flat, value in (
                (micro.weight, tokens / 7),
                (micro.advantage, tokens / 3),
                (micro.sampler_logprobs, -tokens / 2),
            ):
                torch.testing.assert_close(flat, value.float())
            assert micro.ref_logprobs is None
            seen += tokens.tolist()
    total = sum(n for _, lengths in shapes for n in lengths)
    assert sorted(seen) == list(range(total))
