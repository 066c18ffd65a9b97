"""Token ids and positions of an Example's prompt, and ids of its supervised response."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kinograd.config.schema import PromptConfig
from kinograd.models.family import Family
from kinograd.models.media import Medium, Prompt
from kinograd.models.template import end_of_turn, opened_by_template
from kinograd.prompts import messages, response_text
from kinograd.types import DataError, Example, KinogradError


class PromptTooLong(KinogradError):
    """A prompt exceeds ``prompt.max_tokens``; cutting it would cut media."""


def encode(
    example: Example,
    media: Sequence[Medium],
    config: PromptConfig,
    tokenizer,
    family: Family,
) -> Prompt:
    """Encode one Example as a Prompt; ``media`` are results of ``family.medium``, in order.

    Raises:
        PromptTooLong: the prompt exceeds ``config.max_tokens``.
        DataError: one of the texts, target included, holds a control token of the model.
    """
    words = (example.question, *example.options, example.answer, example.rationale or "")
    for token in _control_tokens(tokenizer):
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


def _control_tokens(tokenizer) -> list[str]:
    """List the texts that the tokenizer would read as control tokens."""
    return [t for t in tokenizer.all_special_tokens if t not in ("", " ")]


def encode_response(example: Example, tokenizer) -> np.ndarray:
    """Encode the supervised target, closed by the end-of-turn token; returns int64 (L,)."""
    text = response_text(example)
    opened = opened_by_template(tokenizer) if tokenizer.chat_template else ""
    # white space as the template has it behind the tag: engines that prefill write the same
    if opened.rstrip() == "<think>" and text.startswith("<think>"):
        text = opened + text.removeprefix("<think>")
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    return np.array([*ids, end_of_turn(tokenizer)], dtype=np.int64)
