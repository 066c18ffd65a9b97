"""Published prompt texts and chat messages of an Example, without a model or torch.

Sources of the texts, word for word: Video-R1 (``video_r1`` from its training, ``video_r1_eval``
from its evaluation and annotation), Open-R1-Video, VidBridge-R1, and Video-R1's February 2025
DVD-counting version (``dvd_counting`` and ``dvd_counting_eval``).
"""

from __future__ import annotations

import re

from kinograd.config.schema import PromptConfig
from kinograd.kinds import KINDS
from kinograd.types import DataError, Example

_VIDEO_R1 = (
    "{question}\nPlease think about this question as if you were a human pondering deeply. "
    "Engage in an internal dialogue using expressions such as 'let me think', 'wait', 'Hmm', "
    "'oh, I see', 'let's break it down', etc, or other natural language thought expressions "
    "It's encouraged to include self-reflection or verification in the reasoning process. "
    "Provide your detailed reasoning between the <think> </think> tags, and then give your "
    "final answer between the <answer> </answer> tags."
)
_TAGS = (
    "{question}%s Output the thinking process in <think> </think> and final answer%s in "
    "<answer> </answer> tags"
)
_EXAMPLE = ", i.e., <think> reasoning process here </think><answer> answer here </answer>. "

REASON = {
    "video_r1": _VIDEO_R1,
    "open_r1_video": _TAGS % ("", "") + _EXAMPLE,
    "vidbridge": (_TAGS % ("", "")).replace("{question} ", "{question}\n") + _EXAMPLE,
    "dvd_counting": _TAGS % (" ", " (number)") + ".",
    "plain": "{question}",
}
# Wordings of evaluation scripts; no words of a tiny model's vocabulary come from here.
EVALUATION = {
    "video_r1_eval": _VIDEO_R1.replace("> <", "> and <"),
    "dvd_counting_eval": (_TAGS % ("", " (number)")).replace(" Output", " First output") + ".",
}

_PLACEHOLDER = re.compile(r"(<video>|<image>)")


def question_text(example: Example, config: PromptConfig) -> str:
    """Write the user's text: question, options, instruction; placeholders are still in it."""
    question = example.question
    kind = KINDS[example.kind]
    if example.options:
        listed = "".join(f"{option}\n" for option in kind.shown_options(example.options))
        # Video-R1 puts no newline between question and "Options:"
        if config.template.startswith("video_r1"):
            question = f"{question}Options:\n{listed}"
        else:
            question = f"{question}\n{listed}".rstrip("\n")
    form = kind.answer_form
    if config.mode == "direct":
        return question if config.template == "plain" else f"{question.rstrip()}\n{form.strip()}"
    text = (REASON | EVALUATION)[config.template].replace("{question}", question)
    return text + form if config.template.startswith("video_r1") else text


def messages(example: Example, config: PromptConfig) -> list[dict]:
    """Return chat messages in transformers' form; media come where the question says, else first.

    Placeholders count in the question only: an option that reads "<video>" is text.

    Raises:
        DataError: placeholders and media do not match one to one.
    """
    text = question_text(example, config)
    head = example.question if text.startswith(example.question) else example.question.rstrip()
    kinds = [f"<{m.type.value}>" for m in example.media]
    parts = [p for p in _PLACEHOLDER.split(head) if p]
    named = [p for p in parts if _PLACEHOLDER.fullmatch(p)]
    if not named:
        parts = [*kinds, head]
    elif named != kinds:
        raise DataError(
            f"example {example.id!r}: the question names {named}, its media are {kinds}"
        )
    content = [
        {"type": p[1:-1]} if _PLACEHOLDER.fullmatch(p) else {"type": "text", "text": p}
        for p in parts
    ]
    if tail := text[len(head) :]:
        if content[-1]["type"] == "text":
            tail = content.pop()["text"] + tail
        content.append({"type": "text", "text": tail})
    system = [] if config.system is None else [{"role": "system", "content": config.system}]
    return [*system, {"role": "user", "content": content}]


def response_text(example: Example) -> str:
    """Write the supervised target: rationale in think tags if there is one, then the answer.

    Video-R1's target is its ``process`` + newline + ``solution``.
    """
    answer = f"<answer>{example.answer}</answer>"
    return f"<think>{example.rationale}</think>\n{answer}" if example.rationale else answer
