from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from tests.builders import example, image, video

from kinograd.algo.grpo import Grpo
from kinograd.algo.video_ktr import VideoKtr, key_tokens
from kinograd.types import View, ViewKind

EACH = {"entropy": 0.2, "visual": 0.2, "temporal": 0.2}


def test_union_of_the_tops_by_hand():
    # Ten tokens in two responses; 20 % of them are two per signal. The 0.8 quantile of
    # entropies 0..9 is 7.2: tokens 8 and 9, both in the second response. Vision decides
    # tokens 0 and 1, order tokens 0 and 5.
    def split(values) -> list[np.ndarray]:
        return [np.array(values[:4], float), np.array(values[4:], float)]

    first, second = key_tokens(
        {
            "entropy": split([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
            "visual": split([3, 2, 0, 0, 0, 0, 0, 0, 0, 1]),
            "temporal": split([2, 0, 0, -9, 0, 3, 0, 0, 0, 1]),
        },
        EACH,
    )
    assert first.tolist() == [True, True, False, False]
    assert second.tolist() == [False, True, False, False, True, True]


def test_a_loss_of_log_prob_counts_and_a_gain_does_not():
    (kept,) = key_tokens({"visual": [np.array([-5.0, 0.1, 0.0, 0.0, 0.0])]}, EACH)
    assert kept.tolist() == [False, True, False, False, False]


def test_a_share_of_zero_leaves_a_signal_out():
    signals = {"entropy": [np.arange(5.0)], "visual": [-np.arange(5.0)]}
    (kept,) = key_tokens(signals, {"entropy": 0.2, "visual": 0.0})
    assert kept.tolist() == [False, False, False, False, True]


@given(st.lists(st.lists(st.integers(0, 50), min_size=1, max_size=20), min_size=1, max_size=5))
def test_every_signal_keeps_at_least_its_share(rows):
    kept = key_tokens({"entropy": [np.array(r, float) for r in rows]}, {"entropy": 0.2})
    total = sum(len(r) for r in rows)
    assert [len(k) for k in kept] == [len(r) for r in rows]
    assert sum(k.sum() for k in kept) >= max(1, int(0.2 * total))


def test_views_that_completions_are_scored_under():
    clip, picture = example(media=[video()]), example(media=[image()])
    assert VideoKtr().scored_views(clip) == {
        "visual": View(ViewKind.BLANK),
        "temporal": View(ViewKind.SHUFFLED),
    }
    assert VideoKtr().scored_views(picture) == {"visual": View(ViewKind.BLANK)}
    assert VideoKtr(visual=0).scored_views(clip) == {"temporal": View(ViewKind.SHUFFLED)}
    assert Grpo().scored_views(clip) == {}
