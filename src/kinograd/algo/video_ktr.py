"""Video-KTR: learn from the tokens that vision, order or uncertainty decide (Wang et al. 2026)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import numpy as np

from kinograd.algo.base import GroupAlgorithm
from kinograd.algo.parts.settings import KLConfig, NonNegative
from kinograd.algo.parts.views import has_video
from kinograd.section import Fraction
from kinograd.types import Example, View, ViewKind


class VideoKtr(GroupAlgorithm):
    """Video-KTR (Wang et al. 2026, arXiv 2601.19686, ICLR 2026, and its released code).

    Of a group's tokens, keep the union of the top 20 % by entropy, by log pi(shown) -
    log pi(video hidden), and by log pi(shown) - log pi(frames shuffled); the loss runs over
    kept tokens only. Images have no third signal. All log-probs are of the same tokens under
    the same policy.
    """

    selects_tokens: ClassVar[bool] = True

    type: Literal["video_ktr"] = "video_ktr"
    entropy: Fraction = 0.2
    """Share of a group's tokens kept for their entropy; 0 leaves a signal out."""
    visual: Fraction = 0.2
    """Share kept for the log-prob that they lose when the clip is blank."""
    temporal: Fraction = 0.2
    """Share kept for the log-prob that they lose when the frames are shuffled."""
    shuffle_unit: Literal["frame", "temporal_patch"] = "frame"
    """Unit that a shuffle permutes: frames, or temporal patches of two frames."""
    clip_low: NonNegative | None = None
    clip_high: NonNegative | None = None
    kl: KLConfig = KLConfig(beta=0.04)

    def scored_views(self, example: Example) -> dict[str, View]:
        """Ask for log-probs on a blank clip, and of videos on shuffled frames."""
        views: dict[str, View] = {}
        if self.visual:
            views["visual"] = View(ViewKind.BLANK)
        if self.temporal and has_video(example):
            views["temporal"] = View(ViewKind.SHUFFLED, unit=self.shuffle_unit)
        return views

    def select_tokens(self, signals: Mapping[str, Sequence[np.ndarray]]) -> list[np.ndarray]:
        """Keep the union of the tokens on top of each signal."""
        shares = {"entropy": self.entropy, "visual": self.visual, "temporal": self.temporal}
        return key_tokens(signals, shares)


def key_tokens(
    signals: Mapping[str, Sequence[np.ndarray]], shares: Mapping[str, float]
) -> list[np.ndarray]:
    """Choose tokens of a group's completions, bool (L,) each.

    A signal keeps the tokens at or above the (1 - share) quantile of all the group's tokens,
    ties included, as ``torch.quantile`` does in the released code.

    Args:
        signals: by name, float (L,) per completion.
        shares: by the same names, the share to keep; 0 for none.
    """
    masks_GL = [np.zeros(len(row_L), bool) for row_L in next(iter(signals.values()))]
    for name, rows_GL in signals.items():
        if not shares[name]:
            continue
        threshold = np.quantile(np.concatenate(rows_GL), 1 - shares[name])
        masks_GL = [m | (row_L >= threshold) for m, row_L in zip(masks_GL, rows_GL, strict=True)]
    return masks_GL
