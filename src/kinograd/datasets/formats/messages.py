"""Chat messages with media lists, as ms-swift and LLaMA-Factory read them.

``{"messages": [{"role": "user", "content": "<video>How many?"}, {"role": "assistant",
"content": "3"}], "videos": ["a.mp4"], "images": []}``: one question, one answer; a system
message is kept. Media stand in the order of their placeholders, or first, videos before
images. ``<think>`` and ``<answer>`` tags of the answer are taken apart. The kind is guessed
from the answer unless the row names one under ``kind``.
"""

from __future__ import annotations

import re
from typing import Any

from kinograd.datasets.formats import source
from kinograd.datasets.formats.source import BadRow, JsonRow, RowFormat, row_format
from kinograd.datasets.formats.tagged import kind_of
from kinograd.datasets.rows import Reason
from kinograd.grading.extract import first_answer, think_span
from kinograd.types import Cut, Example, Kind, Media

_PLACEHOLDER = re.compile(r"<(video|image)>")


def load(row: JsonRow, stem: str) -> Example:
    question, reply = _turns(row.get("messages"))
    media = _media(question, source.strings(row, "videos"), source.strings(row, "images"))
    answer = first_answer(reply)
    rationale = think_span(reply)
    if answer is None:
        answer = reply.rpartition("</think>")[2].strip()
    if not answer:
        raise BadRow(Reason.ANSWER, "the assistant's message holds no answer")
    kind = row.get("kind")
    if kind is not None and kind not in list(Kind):
        raise BadRow(Reason.KIND, f"unknown kind {kind!r:.80}; one of {', '.join(Kind)}")
    if media and not _PLACEHOLDER.sub("", question).strip():
        raise BadRow(Reason.SCHEMA, "the user's message holds no question")
    return Example(
        id="",
        kind=Kind(kind) if kind else kind_of(answer),
        question=question,
        answer=answer,
        media=media,
        rationale=rationale or None,
        source="messages",
    )


def _turns(messages: Any) -> tuple[str, str]:
    """(question, answer)."""
    if not isinstance(messages, list) or not all(isinstance(m, dict) for m in messages):
        raise BadRow(Reason.SCHEMA, "'messages' must be a list of objects")
    if not all(isinstance(m.get("content"), str) for m in messages):
        raise BadRow(Reason.SCHEMA, "the content of every message must be a string")
    turns = [m for m in messages if m.get("role") != "system"]
    if [m.get("role") for m in turns] != ["user", "assistant"]:
        raise BadRow(Reason.SCHEMA, "'messages' must be one question and its answer")
    return turns[0]["content"], turns[1]["content"]


def _media(question: str, videos: tuple[str, ...], images: tuple[str, ...]) -> tuple[Media, ...]:
    named = _PLACEHOLDER.findall(question) or ["video"] * len(videos) + ["image"] * len(images)
    if named.count("video") != len(videos) or named.count("image") != len(images):
        raise BadRow(
            Reason.SCHEMA,
            f"{named.count('video')} <video> and {named.count('image')} <image> placeholders "
            f"for {len(videos)} videos and {len(images)} images",
        )
    left = {"video": iter(videos), "image": iter(images)}
    return tuple(source.whole(kind, next(left[kind]), f"{kind}s") for kind in named)


def dump(example: Example, stem: str) -> JsonRow:
    paths: dict[str, list[str]] = {"video": [], "image": []}
    for medium in example.media:
        if medium.cut != Cut.whole(medium.cut.paths[0]):
            raise BadRow(Reason.SCHEMA, source.CUTS)
        paths[medium.type.value].append(medium.cut.paths[0])
    question = source.with_options(example)
    if not _PLACEHOLDER.search(question):
        question = "".join(f"<{m.type.value}>" for m in example.media) + question
    reply = example.answer
    if example.rationale is not None:
        reply = f"<think>{example.rationale}</think>\n<answer>{reply}</answer>"
    row: JsonRow = {
        "messages": [
            {"role": "user", "content": question},
            {"role": "assistant", "content": reply},
        ],
        **({"videos": paths["video"]} if paths["video"] else {}),
        **({"images": paths["image"]} if paths["image"] else {}),
    }
    return row if kind_of(example.answer) is example.kind else row | {"kind": example.kind.value}


FORMAT = row_format(
    RowFormat("messages", load, dump),
    "messages with <video> and <image> placeholders (ms-swift, LLaMA-Factory)",
)
