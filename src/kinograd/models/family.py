"""Protocols of model families: all that the library asks of one architecture.

``families/`` has one file per family and the registry. Nothing outside a family depends on
the number of position axes, on patch sizes or on the names of a model's modules.

Shape legend: P prompt length, R rows, C completion length, D hidden size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from torch import Tensor, nn

from kinograd.models.media import Medium, Patches, Prompt
from kinograd.types import Clip, MediaType
from kinograd.video.patches import Geometry


class Family(Protocol):
    """One architecture, as far as prompts and plain forward passes depend on it.

    Attributes:
        config: the transformers configuration.
        banned_tokens: ids of tokens that only a processor may write, such as image
            placeholders; a sampled one would break the next forward pass.
    """

    config: Any

    @property
    def banned_tokens(self) -> tuple[int, ...]: ...

    def geometry(self, stored: Mapping[str, Any]) -> Geometry:
        """Return how the vision tower cuts frames up.

        Args:
            stored: the checkpoint's ``preprocessor_config.json``; empty if it has none.
        """
        ...

    def medium(self, type: MediaType, clip: Clip, geometry: Geometry) -> Medium:
        """Convert a clip, already under its view, to the form that prompts hold."""
        ...

    def encode(self, messages: list[dict], media: Sequence[Any], tokenizer: Any) -> Prompt:
        """Apply the chat template and expand placeholders; return ids and positions.

        Args:
            messages: chat messages in transformers' form.
            media: results of ``medium``, in the order of their placeholders.
        """
        ...

    def row(self, prompt: Prompt, completion: Tensor) -> dict[str, Tensor]:
        """Build the arguments of transformers' forward for one prompt and its completion.

        Args:
            completion: int64 (C,) token ids.
        """
        ...

    def tower(self, model: Any) -> nn.Module:
        """Return the vision encoder, which ``model.train_vision`` freezes or trains."""
        ...


class PrefixFamily(Family, Protocol):
    """A family whose prompts run once per group (``PrefixLM``)."""

    def __init__(self, config: Any) -> None: ...

    def text_positions(self, steps: Tensor) -> Tensor:
        """Return the positions of text tokens as the language model takes them.

        Args:
            steps: int64 (R, C) one-dimensional positions.

        Returns:
            (..., R, C), with the leading axes of ``Prompt.positions``.
        """
        ...

    def language_model(self, model: Any) -> Any:
        """Return the decoder below the head.

        It has ``layers`` and takes ``inputs_embeds`` and ``position_ids``.
        """
        ...

    def features(self, model: Any, pixels: Tensor, grids: Tensor) -> Sequence[Tensor]:
        """Run the vision tower; return features (levels, tokens, D) per medium.

        Level 0 replaces the embeddings of the placeholders; ``deep_features`` passes on the
        others.

        Args:
            pixels: ``Patches.pixels`` of all media, joined along the first axis.
            grids: int64 (media, 3), ``Patches.grid`` of each.
        """
        ...

    def deep_features(self, is_media: Tensor, levels: Tensor) -> dict[str, Any]:
        """Build the arguments of the language model for feature levels beyond the first.

        Args:
            is_media: bool (R, P), where features replace embeddings.
            levels: (levels - 1, tokens, D).
        """
        ...

    def blank(self) -> Patches:
        """Return the smallest medium that the tower accepts."""
        ...

    def blocks(self, model: Any) -> Sequence[nn.Module]:
        """Return the layers of the vision tower, the units of sharding."""
        ...
