"""The questions the theatre can ask: a family is one file and one line here."""

from __future__ import annotations

from kinograd.data.theatre.families import colour, first, order, swap, turn
from kinograd.data.theatre.play import Family

FAMILIES: dict[str, Family] = {
    "order": order.compose,
    "first": first.compose,
    "turn": turn.compose,
    "swap": swap.compose,
    "colour": colour.compose,
}
