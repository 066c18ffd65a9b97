"""Write a trained model as a folder that loads wherever its source loaded.

Training changes weights and nothing else: configuration, tokenizer, processor and generation
settings are copies of the source's files. Files written by another release of
transformers may name classes that the release which reads them does not know.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from transformers import PreTrainedModel

from kinograd.files import follow_umask
from kinograd.models.adapters import merged_state

_SETTINGS = (
    "config.json",
    "generation_config.json",
    "*token*.json",
    "*token*.model",
    "*.tiktoken",
    "vocab.*",
    "merges.txt",
    "spiece.model",
    "*.bpe.model",
    "*processor_config.json",
    "chat_template.*",
    "additional_chat_templates/*.jinja",
)


def save_model(model: PreTrainedModel, source: Path, folder: Path) -> None:
    """Write weights, adapters folded in, and the settings of the checkpoint ``source``.

    Args:
        folder: an existing folder; files of the same names are replaced.
    """
    with torch.device("meta"):
        plain = type(model)(model.config)
    # how the names in the source's files differ from the modules' names
    plain.__dict__["_weight_conversions"] = getattr(model, "_weight_conversions", None)
    plain.load_state_dict(merged_state(model), assign=True)
    plain.tie_weights()
    plain.save_pretrained(folder)
    for written in ("config.json", "generation_config.json"):
        (folder / written).unlink(missing_ok=True)
    for file in (f for pattern in _SETTINGS for f in source.glob(pattern) if f.is_file()):
        copied = folder / file.relative_to(source)
        copied.parent.mkdir(exist_ok=True)
        shutil.copyfile(file, copied)
    follow_umask(folder)
