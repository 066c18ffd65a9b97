"""Reward modes by name: Kinograd's own rules, and each paper's code with its faults.

A new mode is a file here, a line in ``MODES``, and its defaults in ``config.rewards``.
"""

from __future__ import annotations

from collections.abc import Mapping

from kinograd.rewards.modes.base import Mode
from kinograd.rewards.modes.default import Default
from kinograd.rewards.modes.dvd_counting import DvdCounting, DvdCountingEval
from kinograd.rewards.modes.open_r1_video import OpenR1Video, OpenR1VideoV1
from kinograd.rewards.modes.vidbridge import VidBridge
from kinograd.rewards.modes.video_r1 import VideoR1, VideoR1Eval

__all__ = ["MODES", "Mode"]

MODES: Mapping[str, Mode] = {
    mode.name: mode
    for mode in (
        Default(),
        VideoR1(),
        VideoR1Eval(),
        VidBridge(),
        OpenR1Video(),
        OpenR1VideoV1(),
        DvdCounting(),
        DvdCountingEval(),
    )
}
