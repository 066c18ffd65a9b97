"""What differs between model families: placeholders, positions, the path to each part.

A new family is one file here and one line in ``FAMILIES``.
"""

from __future__ import annotations

from kinograd.models.families.qwen3_vl import Qwen3VL
from kinograd.models.families.qwen_vl import Qwen25VL, QwenVL

FAMILIES: dict[str, type[QwenVL]] = {
    "qwen2_vl": QwenVL,
    "qwen2_5_vl": Qwen25VL,
    "qwen3_vl": Qwen3VL,
}
