"""Chat template of a checkpoint: where a response begins, and which tokens end it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from jinja2 import TemplateError

from kinograd.types import UsageError

_OPENED = re.compile(r"(?:</?(?:think|answer)>\s*)+$")
_SPECIAL = re.compile(r"<\|[^<>|\s]+\|>")
_MARK = "RESPONSE"


def render_prompt(messages: Sequence[dict], templated: Any) -> str:
    """Render chat messages up to the place where the response begins.

    Some templates open the response themselves, with ``<think>``. Those tags are left to the
    response, so that targets, rollouts and graders hold the same complete text.

    Args:
        messages: chat messages in transformers' form.
        templated: the tokenizer or processor that holds the template.

    Raises:
        UsageError: the template refuses the messages, or drops the system turn.
    """
    text = _render(messages, templated, add_generation_prompt=True)
    for message in messages:
        if message["role"] == "system" and _text(message["content"]) not in text:
            raise UsageError("prompt.system: the model's chat template shows no system turn")
    return text[: len(text) - len(_opened(text, messages, templated))]


def _text(content: str | list[dict]) -> str:
    parts = [content] if isinstance(content, str) else [p["text"] for p in content]
    return "".join(parts).strip()


def opened_by_template(templated: Any) -> str:
    """Return the tags, with white space, that the template puts before a response."""
    messages = [{"role": "user", "content": [{"type": "text", "text": "?"}]}]
    text = _render(messages, templated, add_generation_prompt=True)
    return _opened(text, messages, templated)


def _opened(text: str, messages: Sequence[dict], templated: Any) -> str:
    if (match := _OPENED.search(text)) is None:
        return ""
    # tags that end the user's text are no part of the response
    asked = _render(messages, templated, add_generation_prompt=False)
    return match[0] if len(asked) <= match.start() else ""


def _render(messages: Sequence[dict], templated: Any, **options: Any) -> str:
    try:
        return templated.apply_chat_template(messages, tokenize=False, **options)
    except (TemplateError, TypeError, ValueError) as error:
        roles = " and ".join(m["role"] for m in messages)
        reason = str(error).splitlines()[0]
        raise UsageError(
            f"model.path: the chat template refuses turns of {roles}: {reason}"
        ) from error


def end_of_turn(tokenizer: Any) -> int:
    """Return the token with which the template closes a response; else the tokenizer's own."""
    special = set(tokenizer.all_special_ids) if tokenizer.chat_template else set()
    for content in ([{"type": "text", "text": _MARK}], _MARK) if special else ():
        turns = [{"role": r, "content": content} for r in ("user", "assistant")]
        try:
            text = _render(turns, tokenizer)
        except UsageError:
            continue
        before, _, after = text.rpartition(_MARK)
        closing = tokenizer(after, add_special_tokens=False)["input_ids"] if before else []
        if ending := [i for i in closing if i in special]:
            return ending[0]
    return tokenizer.eos_token_id


def end_tokens(tokenizer: Any, model: Any) -> tuple[int, ...]:
    """List all tokens that end a response, the template's own first.

    The others are the tokenizer's and those of ``generation_config.json``.
    """
    return tuple(dict.fromkeys([end_of_turn(tokenizer), *_declared(tokenizer, model)]))


def _declared(tokenizer: Any, model: Any) -> list[int]:
    listed = model.generation_config.eos_token_id
    listed = [] if listed is None else np.atleast_1d(listed).tolist()
    return [tokenizer.eos_token_id, *listed]


def check_template(tokenizer: Any, model: Any) -> None:
    """Prove that the special tokens of tokenizer, template and model fit each other.

    Raises:
        UsageError: they do not, and a trained model would not end its responses, or would
            read marks of turns as text.
    """
    closing, declared = end_of_turn(tokenizer), _declared(tokenizer, model)
    if closing not in declared:
        raise UsageError(
            "model.path: the chat template closes a response with "
            f"{tokenizer.convert_ids_to_tokens(closing)!r}, at which neither tokenizer nor "
            "generation_config.json ends generation; add it to eos_token_id there"
        )
    rows = len(model.get_input_embeddings().weight)
    marks = []
    if tokenizer.chat_template:
        messages = [{"role": "user", "content": [{"type": "text", "text": "?"}]}]
        marks = _SPECIAL.findall(_render(messages, tokenizer, add_generation_prompt=True))
    for mark in dict.fromkeys(marks):
        ids = tokenizer(mark, add_special_tokens=False)["input_ids"]
        if len(ids) != 1 or ids[0] >= rows:
            raise UsageError(
                f"model.path: the chat template writes {mark!r}, which is no token of this model"
            )
    if unknown := [i for i in declared if i >= rows]:
        raise UsageError(f"model.path: end tokens {unknown} lie outside the {rows} embeddings")
