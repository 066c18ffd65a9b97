"""MixVidQA: two clips take turns; a question about one of them.

After VidBridge-R1 (arXiv 2506.09079): Kinetics clips in turns of 1.5 to 2 s, the question
written by a model that saw one clip alone, ambiguous ones dropped by people. Here a teacher
answers the question about the other clip too, and must not find the same answer there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from kinograd.curate.proxy.options import MixVid
from kinograd.curate.proxy.source_video import Film, Segments, partners, video
from kinograd.curate.proxy.teacher_tools import Crew, Record, badly, read_json
from kinograd.datasets.rows import Reason, Rejected
from kinograd.endpoint.replies import Failure
from kinograd.grading.choice import option_texts
from kinograd.types import Example, Kind
from kinograd.video.cut import media_from_json, media_to_json

QUESTION = (
    "You will receive a video clip with alternating segments from two separate sources, as well "
    "as a question tied to one of them. Answer the question based solely on the relevant video "
    "source. Question: {question}"
)
"""As published."""
WRITE = (
    "Write one question about this video and its answer. The question must need the video, name "
    "who or what it is about so that it fits no other video, and ask for what is done or happens, "
    "not for opinions. The answer is one sentence. Reply with JSON only: "
    '{"question": "...", "answer": "..."}'
)
OTHER = (
    "{question}\nAnswer in one short sentence. If this video does not show what the question is "
    "about, write NONE and nothing else."
)
_PLACEHOLDER = re.compile(r"\s*<(?:video|image)>\s*")
_UNFIT = {Kind.CAPTION, Kind.DARK_EVENT, Kind.MIX_VID}  # cannot be asked about one of two
_RULED = {Kind.MULTIPLE_CHOICE, Kind.NUMERICAL, Kind.OCR, Kind.REGRESSION}


def build(films: Sequence[Film], options: MixVid, seed: int = 0) -> Iterator[Example | Rejected]:
    """One row per film, mixed with another of its split; "" where a question is to be written."""
    least = options.turns * options.shortest
    for film, other in partners(films, "mix_vid", seed, least):
        if other is None:
            yield film.refuse(f"nothing to mix with: no other source of {least:g} s in its split")
        else:
            yield _row(film, other, options, seed)


def _row(film: Film, other: Film, options: MixVid, seed: int) -> Example | Rejected:
    asked = film.example
    if options.fresh or asked.kind in _UNFIT:
        asked = replace(asked, question="", answer="", options=())
    rng = film.rng("mix_vid", seed)
    leads = bool(rng.integers(2)) if options.target == "random" else options.target == "first"
    turns = _turns((film, other) if leads else (other, film), options, rng)
    if len(turns) < options.turns:
        return film.refuse(
            f"too short to take turns: {film.duration:.1f} s and {other.duration:.1f} s"
        )
    ours, theirs = (0, 1) if leads else (1, 0)
    shown = sum(turn[ours][1] - turn[ours][0] for turn in turns)
    question = _PLACEHOLDER.sub(" ", asked.question).strip()
    if question and shown < options.coverage * film.duration:
        return film.refuse(
            f"too little of the clip is left for its question: {shown:.1f} of "
            f"{film.duration:.1f} s beside {other.id}"
        )
    if question and _clashes(asked, other.example, options.strict):
        return film.refuse(f"ambiguous: the same is asked about {other.id}")
    pair = (film, other) if leads else (other, film)
    segments: Segments = tuple(
        s for turn in turns for f, part in zip(pair, turn, strict=True) for s in f.show(*part)
    )
    sources = [
        video(tuple(s for turn in turns for s in f.show(*turn[place])))
        for f, place in ((film, ours), (other, theirs))
    ]
    return film.row(
        "mix_vid",
        asked.kind if question and asked.kind in _RULED else Kind.MIX_VID,
        QUESTION.format(question=question) if question else "",
        asked.answer,
        segments,
        asked.options,
        asked=question,
        beside=other.id,
        target="first" if leads else "second",
        sources=[media_to_json(m) for m in sources],
    )


def _turns(
    pair: tuple[Film, Film], options: MixVid, rng: np.random.Generator
) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    """Rounds of (first clip's, second clip's) seconds, until one runs out.

    What is left of a clip at the end is shown if it makes a whole turn.
    """
    rounds = []
    at, spent = [0.0, 0.0], 0.0
    while True:
        parts: list[tuple[float, float]] = []
        for i, film in enumerate(pair):
            length = float(rng.uniform(options.shortest, options.longest))
            end = min(film.duration, at[i] + length)
            if end - at[i] < options.shortest - 1e-6:
                return rounds
            parts.append((at[i], end))
        spent += sum(b - a for a, b in parts)
        if spent > options.total:
            return rounds
        rounds.append((parts[0], parts[1]))
        at = [parts[0][1], parts[1][1]]


def _clashes(one: Example, other: Example, strict: bool) -> bool:
    """Whether the other clip's own row asks the same (and, unless strict, has the same answer)."""

    def plain(text: str) -> list[str]:
        return re.findall(r"\w+", _PLACEHOLDER.sub(" ", text).casefold())

    same = plain(one.question) == plain(other.question)
    return same and (strict or plain(one.answer) == plain(other.answer))


async def refine(draft: Example, crew: Crew) -> Record | Failure:
    """Question and answer, where there are none, and what is answered about the other clip.

    Raises:
        ClipError: what is to be shown cannot be decoded.
    """
    target, other = map(media_from_json, draft.extra["sources"])
    record: Record = {"question": draft.extra["asked"], "answer": draft.answer}
    if not draft.question:
        replies = await crew.ask(WRITE, await crew.see(target))
        if isinstance(replies, Failure):
            return replies
        found = read_json(replies[0]) or {}
        asked, said = (found.get(key) for key in ("question", "answer"))
        if not (
            isinstance(asked, str) and isinstance(said, str) and asked.strip() and said.strip()
        ):
            return {"unread": replies[0][:200]}
        record = {"question": asked.strip(), "answer": said.strip()}
    question, answer = record["question"], record["answer"]
    if draft.options:
        question += "\n" + "\n".join(draft.options)
    prompt = OTHER.format(question=question)
    others = await crew.ask(prompt, await crew.see(other), n=crew.samples)
    if isinstance(others, Failure):
        return others
    given = [r.strip() for r in others if not re.fullmatch(r"\W*none\W*", r.strip(), re.I)]
    record |= {"others": given, "likeness": 0.0}
    answer = option_texts(draft.options).get(answer) or answer
    for reply in given:
        alike = await crew.likeness(Kind.MIX_VID, question, answer, [reply])
        if isinstance(alike, Failure):
            return alike
        record["likeness"] = max(record["likeness"], alike)
    return record


def finish(draft: Example, record: Record, options: MixVid) -> Example | Rejected:
    """The row with its question, or why it is left out."""
    if "unread" in record:
        return badly(draft, f"no question and answer in JSON: {record['unread']!r}")
    given, likeness = record["others"], record["likeness"]
    if given and (options.strict or likeness >= options.same):
        told = f"ambiguous: about the other clip it said {given[0]!r:.120} ({likeness:.2f} alike)"
        return Rejected(draft.id, Reason.FILTERED, told, draft.id)
    return replace(
        draft,
        question=QUESTION.format(question=record["question"]),
        answer=record["answer"],
        extra={**draft.extra, "asked": record["question"], "likeness": likeness},
    )
