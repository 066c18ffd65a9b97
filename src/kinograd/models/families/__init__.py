"""Model families by transformers' ``model_type``.

A new family is one file here, which satisfies ``PrefixFamily``, and one line in ``FAMILIES``.
"""

from __future__ import annotations

from kinograd.models.families.qwen3_vl import Qwen3VL
from kinograd.models.families.qwen_vl import Qwen25VL, QwenVL
from kinograd.models.family import PrefixFamily

FAMILIES: dict[str, type[PrefixFamily]] = {
    "qwen2_vl": QwenVL,
    "qwen2_5_vl": Qwen25VL,
    "qwen3_vl": Qwen3VL,
}
