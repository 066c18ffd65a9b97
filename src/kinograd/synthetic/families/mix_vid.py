"""MixVidQA in small: two clips take turns, and the question is about one of them.

After VidBridge-R1 (arXiv 2506.09079): one clip shows circles, the other squares; the
row's cut alternates between the two files.
"""

from __future__ import annotations

import numpy as np

from kinograd.config.synthetic import SyntheticConfig
from kinograd.synthetic.sample import SyntheticSample, ask, deal, pick
from kinograd.synthetic.sprites import flashes
from kinograd.synthetic.vocabulary import COLOURS
from kinograd.types import Kind

_TURNS = 2  # of each clip


def compose(rng: np.random.Generator, config: SyntheticConfig) -> SyntheticSample:
    frames = config.frames // 2  # each clip gives its first half
    part = frames // _TURNS
    most = max(2, min(3, frames // config.event_frames))
    clips, events, colours = [], [], {}
    for shape in ("circle", "square"):
        colours[shape] = deal(rng, tuple(COLOURS), int(rng.integers(2, most + 1)))
        sprites, happened = flashes(rng, config, [(shape, c) for c in colours[shape]], frames)
        clips.append(sprites)
        events += happened
    swapped = bool(rng.integers(2))
    edit = []
    for begin in range(0, frames, part):
        pair = [(0, begin, begin + part), (1, begin, begin + part)]
        edit += pair[::-1] if swapped else pair
    shape, place = pick(rng, ("circle", "square")), pick(rng, ("first", "last"))
    answer = colours[shape][0 if place == "first" else -1]
    return SyntheticSample(
        clips=tuple(clips),
        question=ask(
            rng,
            config,
            f"Two clips take turns. Which colour comes {place} in the {shape} clip?",
            f"Of the {shape} clip, which colour is {place}?",
        ),
        answer=answer,
        rationale=f"{shape} {' '.join(colours[shape])} . {place} {answer}",
        events=tuple(events),
        order_blind_key=tuple(sorted(colours[shape])),
        chance=1 / len(colours[shape]),
        kind=Kind.MIX_VID,
        edit=tuple(edit),
    )
