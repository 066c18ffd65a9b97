"""Requests for other views of a clip.

An algorithm has two uses for another view. Rollouts on a twin prompt are compared with the
group's own (T-GRPO, relation reward). Scoring the group's own completions under another
view, without gradients, shows which tokens depend on what that view destroys (Video-KTR).
"""

from __future__ import annotations

from dataclasses import dataclass

from kinograd.types import Example, MediaType, View


@dataclass(frozen=True)
class Twin:
    """``n`` rollouts of ``example`` under ``view``, beside those of its group."""

    example: Example
    view: View
    n: int


def has_video(example: Example) -> bool:
    """Tell an example with a video from one with images or text only."""
    return any(m.type is MediaType.VIDEO for m in example.media)
