"""Kinograd post-trains video language models to reason.

>>> import kinograd
>>> model = kinograd.load("runs/demo/rl")  # doctest: +SKIP
>>> model.ask("clip.mp4", "What happens after the ball falls?")  # doctest: +SKIP
"""

from __future__ import annotations

__version__ = "0.1.0"
