"""The theatre: a synthetic world of short clips with ground truth, questions and workings.

``build`` renders real H.264 files and writes canonical JSONL; ``FAMILIES`` are the
questions it knows. Everything follows from (seed, split, index): whatever the number of
workers, and wherever an interrupted build goes on, the result is the same.
"""

from __future__ import annotations

from kinograd.synthetic.build import TERSE, build
from kinograd.synthetic.families import FAMILIES

__all__ = ["FAMILIES", "TERSE", "build"]
