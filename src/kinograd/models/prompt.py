"""Token ids and positions of an Example, and of the response that it teaches."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kinograd.config.schema import PromptConfig
from kinograd.models.families.other import OtherVL
from kinograd.models.families.qwen_vl import QwenVL
from kinograd.models.media import Frames, Patches, Prompt
from kinograd.prompts import messages, response_text
from kinograd.types import DataError, Example, KinogradError


class PromptTooLong(KinogradError):
    """A prompt exceeds ``prompt.max_tokens``: refused, because cutting it would cut media."""


def encode(
    example: Example,
    media: Sequence[Patches | Frames],
    config: PromptConfig,
    tokenizer,
    family: QwenVL | OtherVL,
) -> Prompt:
    """Token ids and positions of one Example whose media are what ``family.medium`` makes.

    Raises:
        PromptTooLong: beyond ``config.max_tokens``.
        DataError: if one of the texts, target included, holds a control token of the model.
    """
    words = (example.question, *example.options, example.answer, example.rationale or "")
    for token in family.control_tokens(tokenizer):
        if any(token in text for text in words):
            raise DataError(f"example {example.id!r}: its text holds the control token {token}")
    prompt = family.encode(messages(example, config), media, tokenizer)
    length = len(prompt.input_ids)
    if length > config.max_tokens:
        raise PromptTooLong(
            f"example {example.id!r}: its prompt has {length} tokens, prompt.max_tokens is "
            f"{config.max_tokens}; lower video.max_frames or video.max_pixels, or raise the limit"
        )
    return prompt


def encode_response(example: Example, tokenizer) -> np.ndarray:
    """int64 (L,): the supervised target, closed by the end-of-turn token."""
    ids = tokenizer(response_text(example), add_special_tokens=False)["input_ids"]
    return np.array([*ids, tokenizer.eos_token_id], dtype=np.int64)
