"""Registry of question families: a new one is one function and one line here."""

from __future__ import annotations

from kinograd.synthetic.families import (
    around,
    caption,
    dark_event,
    direction,
    enter,
    flash_order,
    mix_vid,
    shell,
    static,
    swap,
    tally,
    turn,
)
from kinograd.synthetic.sample import Family

FAMILIES: dict[str, Family] = {
    # events in order
    "order": flash_order.order,
    "first": flash_order.first,
    "next": flash_order.next_one,
    "around": around.compose,
    "tally": tally.compose,
    # a state to keep track of
    "turn": turn.compose,
    "swap": swap.compose,
    "shell": shell.compose,
    # motion
    "direction": direction.compose,
    "enter": enter.compose,
    # nothing moves: controls
    "colour": static.colour,
    "shape": static.shape,
    "count": static.count,
    # the proxy tasks and description
    "dark_event": dark_event.compose,
    "mix_vid": mix_vid.compose,
    "caption": caption.compose,
}
