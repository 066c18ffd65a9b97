"""Synthetic world of short clips with ground truth, questions and rationales.

``build`` renders real H.264 files and writes canonical JSONL; ``FAMILIES`` maps a name to
a kind of question. The result depends on (seed, split, index) alone: neither the number of
workers nor an interruption changes it.
"""

from __future__ import annotations

from kinograd.synthetic.build import TERSE, build
from kinograd.synthetic.families import FAMILIES

__all__ = ["FAMILIES", "TERSE", "build"]
