from __future__ import annotations

import numpy as np
import torch

from kinograd.config.rollout import SamplingConfig
from kinograd.rollout.sampling import draw


def frequencies(logits, sampling, n=20_000):
    seeds = np.arange(n, dtype=np.uint64) * np.uint64(7919)
    tokens, logprobs = draw(logits.expand(n, -1), sampling, seeds, 3)
    counts = torch.bincount(tokens, minlength=logits.shape[-1]).double() / n
    return counts, tokens, logprobs


def test_draws_follow_the_distribution():
    probs = torch.tensor([0.5, 0.25, 0.2, 0.05])
    counts, tokens, logprobs = frequencies(probs.log(), SamplingConfig())
    assert (counts - probs).abs().max() < 0.015  # five standard errors
    torch.testing.assert_close(logprobs, probs.log()[tokens])


def test_banned_tokens_are_never_drawn():
    logits = torch.tensor([0.0, float("-inf"), 0.0, float("-inf")])
    counts, _, _ = frequencies(logits, SamplingConfig())
    assert counts[1] == counts[3] == 0


def test_nucleus_keeps_the_smallest_set_above_top_p():
    probs = torch.tensor([0.1, 0.5, 0.15, 0.25])
    counts, _, logprobs = frequencies(probs.log(), SamplingConfig(top_p=0.7))
    assert counts[0] == counts[2] == 0
    assert abs(counts[1] - 2 / 3) < 0.02
    assert logprobs.max() < np.log(0.51)  # of the whole distribution, not the nucleus


def test_top_k():
    counts, _, _ = frequencies(torch.tensor([0.1, 0.4, 0.2, 0.3]).log(), SamplingConfig(top_k=1))
    assert counts[1] == 1


def test_temperature_zero_takes_the_likeliest():
    counts, _, _ = frequencies(torch.tensor([0.3, 0.4, 0.3]).log(), SamplingConfig(temperature=0))
    assert counts[1] == 1


def test_noise_is_addressed_by_seed_and_position():
    logits = torch.zeros(4, 1000)
    seeds = np.array([1, 2, 1, 3], np.uint64)
    first, _ = draw(logits, SamplingConfig(), seeds, 0)
    again, _ = draw(logits[:1], SamplingConfig(), seeds[:1], 0)
    later, _ = draw(logits, SamplingConfig(), seeds, 1)
    assert first[0] == first[2] == again[0]
    assert first.tolist() != later.tolist()
