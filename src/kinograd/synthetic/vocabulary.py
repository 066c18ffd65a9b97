"""Vocabulary of the synthetic world: the tiny tokenizer holds each word as one token.

A test checks that no question, rationale or answer uses a word outside this list.
"""

from __future__ import annotations

from itertools import permutations

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (225, 40, 40),
    "green": (40, 190, 60),
    "blue": (50, 80, 235),
    "yellow": (235, 215, 40),
    "white": (245, 245, 245),
    "purple": (160, 50, 200),
}
"""Name to RGB; distant enough to survive chroma subsampling."""

SHAPES = ("square", "circle", "triangle", "cross")
DIRECTIONS = ("up", "left", "down", "right")
"""Counter-clockwise: a left turn is +1."""

ARRANGEMENTS = tuple("".join(p) for p in permutations("ABC"))
ORDINALS = ("first", "second", "third", "fourth", "fifth")

# Positions are token ids of trained checkpoints: words stay where they are, used or not.
_PROSE = """
What Which How Where Does Is Are The Red Two Of
what which how many where does do did is are was the a an of in on at to and or not no yes
colour shape object objects thing things letter letters arrow cup cups ball
appears appear comes come shown show seen flash flashes before after between while around
next last final then end ends points point starts follows hide hides that way
there it its they one two three four five six times take turns turn
move moves enter enters leave leaves top bottom centre
faster slower getting swap swaps total count nothing looks like hidden black part happens
clip clips order so A B C D E
"""

PUNCTUATION = (".", ",", "?", ":", ";", "->", "-", "(", ")", "!")


def words() -> list[str]:
    """List distinct words and punctuation marks in a fixed order."""
    plain = [
        *COLOURS,
        *SHAPES,
        *DIRECTIONS,
        *ARRANGEMENTS,
        *ORDINALS,
        *_PROSE.split(),
        *PUNCTUATION,
    ]
    return list(dict.fromkeys(plain))
