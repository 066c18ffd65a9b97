"""Chat messages with media lists, as ms-swift and LLaMA-Factory read them.

``{"messages": [{"role": "user", "content": "<video>How many?"}, {"role": "assistant",
"content": "3"}], "videos": ["a.mp4"], "images": []}``: one question, one answer; a system
message goes to ``extra.messages.system``. Media come in the order of their placeholders, or
first, videos before images. ``<think>`` and ``<answer>`` tags of the reply become rationale and
answer. The kind is guessed from the answer unless the row names one under ``kind``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from kinograd.datasets.formats.base import (
    JsonRow,
    RowFormat,
    Written,
    format_of_rows,
    strings,
    whole_file,
)
from kinograd.datasets.formats.tagged import guess_kind
from kinograd.datasets.rows import BadRow, Reason, Rejected
from kinograd.files import atomic_stream
from kinograd.grading.extract import gold_answer, think_span
from kinograd.types import Cut, Example, Kind, Media

_PLACEHOLDER = re.compile(r"<(video|image)>")
_CUTS = (
    "messages name whole files; render cuts as files too: kinograd data export IN -o OUT "
    "format=messages render=FOLDER media_root=ROOT"
)


def load(row: JsonRow, stem: str) -> Example:
    """Return the Example of a row."""
    question, reply, system = _turns(row.get("messages"))
    media = _media(question, strings(row, "videos"), strings(row, "images"))
    try:
        answer = gold_answer(reply)
    except ValueError as error:
        raise BadRow(Reason.ANSWER, f"the assistant's message gives {error}") from None
    rationale = think_span(reply)
    if answer is None and "<answer>" not in reply.rpartition("</think>")[2]:
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
        kind=Kind(kind) if kind else guess_kind(answer),
        question=question,
        answer=answer,
        media=media,
        rationale=rationale or None,
        source="messages",
        extra={"messages": {"system": system}} if system else {},
    )


def _turns(messages: Any) -> tuple[str, str, str]:
    """Return question, answer and system message ("" if there is none)."""
    if not isinstance(messages, list) or not all(isinstance(m, dict) for m in messages):
        raise BadRow(Reason.SCHEMA, "'messages' must be a list of objects")
    if not all(isinstance(m.get("content"), str) for m in messages):
        raise BadRow(Reason.SCHEMA, "the content of every message must be a string")
    system = "\n".join(m["content"] for m in messages if m.get("role") == "system")
    turns = [m for m in messages if m.get("role") != "system"]
    if [m.get("role") for m in turns] != ["user", "assistant"]:
        raise BadRow(Reason.SCHEMA, "'messages' must be one question and its answer")
    return turns[0]["content"], turns[1]["content"], system


def _media(question: str, videos: tuple[str, ...], images: tuple[str, ...]) -> tuple[Media, ...]:
    named = _PLACEHOLDER.findall(question) or ["video"] * len(videos) + ["image"] * len(images)
    if named.count("video") != len(videos) or named.count("image") != len(images):
        raise BadRow(
            Reason.SCHEMA,
            f"{named.count('video')} <video> and {named.count('image')} <image> placeholders "
            f"for {len(videos)} videos and {len(images)} images",
        )
    left = {"video": iter(videos), "image": iter(images)}
    return tuple(whole_file(kind, next(left[kind]), f"{kind}s") for kind in named)


def write(path: Path, examples: Iterable[Example]) -> Written:
    """Write Examples as JSON lines; those with cuts are left out."""
    count, left_out = 0, []
    with atomic_stream(path) as stream:
        for example in examples:
            try:
                row = dump(example)
            except BadRow as error:
                left_out.append(Rejected(example.id, error.reason, str(error), example.id))
                continue
            stream.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")
            count += 1
    return Written(count, tuple(left_out))


def dump(example: Example) -> JsonRow:
    """Return the row of an Example whose media are whole files.

    Raises:
        BadRow: a medium is a cut.
    """
    paths: dict[str, list[str]] = {"video": [], "image": []}
    for medium in example.media:
        if medium.cut != Cut.whole(medium.cut.paths[0]):
            raise BadRow(Reason.SCHEMA, _CUTS)
        paths[medium.type.value].append(medium.cut.paths[0])
    question = "\n".join([example.question, *example.options])
    if not _PLACEHOLDER.search(question):
        question = "".join(f"<{m.type.value}>" for m in example.media) + question
    reply = example.answer
    if example.rationale is not None:
        reply = f"<think>{example.rationale}</think>\n<answer>{reply}</answer>"
    row: JsonRow = {
        "id": example.id,
        "messages": [
            {"role": "user", "content": question},
            {"role": "assistant", "content": reply},
        ],
        **{f"{name}s": found for name, found in paths.items() if found},
    }
    kind = example.kind
    return row if guess_kind(example.answer) is kind else row | {"kind": kind.value}


FORMAT = format_of_rows(
    RowFormat("messages", load, {"messages", "videos", "images", "kind"}, {"messages"}),
    "messages with <video> and <image> placeholders (ms-swift, LLaMA-Factory)",
    write,
)
