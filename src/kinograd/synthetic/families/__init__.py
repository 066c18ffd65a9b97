"""Registry of question families: a new one is one file and one line here."""

from __future__ import annotations

from kinograd.synthetic.families import (
    around,
    caption,
    colour,
    count,
    dark_event,
    direction,
    enter,
    first,
    mix_vid,
    next,
    order,
    shape,
    shell,
    swap,
    tally,
    turn,
)
from kinograd.synthetic.sample import Family

FAMILIES: dict[str, Family] = {
    # events in order
    "order": order.compose,
    "first": first.compose,
    "next": next.compose,
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
    "colour": colour.compose,
    "shape": shape.compose,
    "count": count.compose,
    # the proxy tasks and description
    "dark_event": dark_event.compose,
    "mix_vid": mix_vid.compose,
    "caption": caption.compose,
}
