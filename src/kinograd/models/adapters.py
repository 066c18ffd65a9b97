"""Low-rank adapters (Hu et al. 2021, arXiv 2106.09685) through PEFT, injected in place.

The transformers model keeps its class, so that the shared-prefix forward, distribution and
checkpointing do not depend on adapters.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import PreTrainedModel

from kinograd.config.schema import LoraConfig
from kinograd.keys import derive_seed
from kinograd.types import UsageError


def add_adapter(model: PreTrainedModel, config: LoraConfig) -> None:
    """Freeze ``model`` and give the language model's linear layers trainable adapters.

    Their random start is the same on every rank and in every run.

    Raises:
        UsageError: the language model has no layer of one of the names.
    """
    from peft import LoraConfig as PeftConfig

    decoder = model.get_decoder()
    root = next(n for n, m in model.named_modules() if m is decoder)
    layers = {n.rsplit(".", 1)[-1] for n, _ in decoder.named_modules()}
    if unknown := sorted(set(config.targets) - layers):
        raise UsageError(
            f"model.lora.targets: the language model has no layers named {', '.join(unknown)}"
        )

    targets = "|".join(config.targets)
    with torch.random.fork_rng():
        torch.manual_seed(derive_seed("adapter"))
        model.add_adapter(
            PeftConfig(
                r=config.rank,
                # Declared an int, but PEFT only divides it by the rank.
                lora_alpha=config.alpha,  # pyright: ignore[reportArgumentType]
                lora_dropout=config.dropout,
                target_modules=rf"{re.escape(root)}\..*\.({targets})",
            )
        )


def has_adapter(model: PreTrainedModel) -> bool:
    return bool(getattr(model, "_hf_peft_config_loaded", False))


@contextmanager
def adapter_off(model: PreTrainedModel) -> Iterator[None]:
    """Run the base model inside the context; it is the reference policy of LoRA runs."""
    model.disable_adapters()
    try:
        yield
    finally:
        model.enable_adapters()


@torch.no_grad()
def merged_state(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    """Return the weights with every adapter folded in, under the base model's names."""
    if not has_adapter(model):
        return model.state_dict()
    from peft.tuners.lora import LoraLayer

    state = {
        name.replace(".base_layer", ""): tensor
        for name, tensor in model.state_dict().items()
        if "lora_" not in name
    }
    # Each kind of layer has its own get_delta_weight; their base class declares none.
    layers: dict[str, Any] = {n: m for n, m in model.named_modules() if isinstance(m, LoraLayer)}
    for name, layer in layers.items():
        for adapter in layer.active_adapters:
            key = f"{name}.weight"
            state[key] = state[key] + layer.get_delta_weight(adapter)
    return state
