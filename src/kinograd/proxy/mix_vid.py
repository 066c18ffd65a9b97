"""MixVidQA: two clips take turns; the question is about one of them.

After VidBridge-R1 (arXiv 2506.09079): Kinetics clips in turns of 1.5 to 2 s, the question
written by a model that saw one clip alone, ambiguous ones dropped by people. Here a teacher
answers the question about the other clip too, and must not find the same answer there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import ClassVar, Literal

import numpy as np

from kinograd.datasets.rows import Reason, Rejected
from kinograd.endpoint.replies import Failure
from kinograd.grading.choice import option_texts
from kinograd.kinds import KINDS
from kinograd.proxy.source_video import Segments, SourceVideo, pair_up, video_medium
from kinograd.proxy.task import Length, TaughtTask
from kinograd.proxy.teacher_tools import Record, TeacherTools, read_json, rejected_by_teacher
from kinograd.section import Fraction, Positive
from kinograd.types import Example, Kind
from kinograd.video.cut import media_from_json, media_to_json

QUESTION = (
    "You will receive a video clip with alternating segments from two separate sources, as well "
    "as a question tied to one of them. Answer the question based solely on the relevant video "
    "source. Question: {question}"
)
"""Published text."""
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

_Turn = tuple[float, float]  # first and last second


class MixVid(TaughtTask):
    """MixVidQA: a question about one of two clips that take turns."""

    name: ClassVar[str] = "mix_vid"
    about: ClassVar[str] = "Let two clips take turns: a question about one of them."

    shortest: Length = 1.5
    """Shortest turn; each is drawn."""
    longest: Length = 2.0
    """Longest turn."""
    target: Literal["first", "second", "random"] = "random"
    """Place of the clip that the question is about."""
    total: Length = 60.0
    """Most seconds of both clips together."""
    turns: Positive = 2
    """Fewest turns of each clip."""
    coverage: Fraction = 0.8
    """Least share of its clip that must be shown for a question that the row brings."""
    strict: bool = True
    """Reject a row if the teacher finds any answer in the other clip; false: the same answer."""
    fresh: bool = False
    """Have the teacher write the question even where the row has one."""
    same: Fraction = 0.5
    """Similarity from which two answers count as the same."""

    def build(self, videos: Sequence[SourceVideo]) -> Iterator[Example | Rejected]:
        """Yield one row per video, mixed with another of its split.

        Question and answer are "" where they are to be written.
        """
        least = self.turns * self.shortest
        for video, other in pair_up(videos, self.name, self.seed, least):
            if other is None:
                why = f"nothing to mix with: no other source of {least:g} s in its split"
                yield video.reject(why)
            else:
                yield self._row(video, other)

    def _row(self, video: SourceVideo, other: SourceVideo) -> Example | Rejected:
        own = video.example
        if self.fresh or KINDS[own.kind].always_judged:  # it is about a whole video
            own = replace(own, question="", answer="", options=())
        rng = video.rng(self.name, self.seed)
        leads = bool(rng.integers(2)) if self.target == "random" else self.target == "first"
        pair = (video, other) if leads else (other, video)
        turns = self._turns(pair, rng)
        if len(turns) < self.turns:
            return video.reject(
                f"too short to take turns: {video.duration:.1f} s and {other.duration:.1f} s"
            )
        ours, theirs = (0, 1) if leads else (1, 0)
        shown = sum(turn[ours][1] - turn[ours][0] for turn in turns)
        question = _PLACEHOLDER.sub(" ", own.question).strip()
        if question and shown < self.coverage * video.duration:
            return video.reject(
                f"too little of the clip is left for its question: {shown:.1f} of "
                f"{video.duration:.1f} s beside {other.id}"
            )
        if question and _clashes(own, other.example, self.strict):
            return video.reject(f"ambiguous: the same is asked about {other.id}")
        segments: Segments = tuple(
            s for turn in turns for v, part in zip(pair, turn, strict=True) for s in v.show(*part)
        )
        sources = [
            video_medium(tuple(s for turn in turns for s in v.show(*turn[place])))
            for v, place in ((video, ours), (other, theirs))
        ]
        return video.row(
            self.name,
            own.kind if question and KINDS[own.kind].judge is None else Kind.MIX_VID,
            QUESTION.format(question=question) if question else "",
            own.answer,
            segments,
            own.options,
            asked=question,
            beside=other.id,
            target="first" if leads else "second",
            sources=[media_to_json(m) for m in sources],
        )

    def _turns(
        self, pair: tuple[SourceVideo, SourceVideo], rng: np.random.Generator
    ) -> list[tuple[_Turn, _Turn]]:
        """Draw rounds of (first clip's, second clip's) seconds until one clip runs out.

        The rest of a clip at its end is shown if it makes a turn of its own.
        """
        rounds = []
        at, spent = [0.0, 0.0], 0.0
        while True:
            parts: list[_Turn] = []
            for i, video in enumerate(pair):
                length = float(rng.uniform(self.shortest, self.longest))
                end = min(video.duration, at[i] + length)
                if end - at[i] < self.shortest - 1e-6:
                    return rounds
                parts.append((at[i], end))
            spent += sum(b - a for a, b in parts)
            if spent > self.total:
                return rounds
            rounds.append((parts[0], parts[1]))
            at = [parts[0][1], parts[1][1]]

    async def refine(self, draft: Example, tools: TeacherTools) -> Record | Failure:
        """Ask for question and answer where there are none, then about the other clip."""
        target, other = map(media_from_json, draft.extra["sources"])
        record: Record = {"question": draft.extra["asked"], "answer": draft.answer}
        if not draft.question:
            replies = await tools.ask(WRITE, await tools.frames_of(target))
            if isinstance(replies, Failure):
                return replies
            found = read_json(replies[0]) or {}
            record = {key: found.get(key) for key in ("question", "answer")}
            if not all(isinstance(text, str) and text.strip() for text in record.values()):
                return {"unread": replies[0][:200]}
            record = {key: text.strip() for key, text in record.items()}
        question, answer = record["question"], record["answer"]
        if draft.options:
            question += "\n" + "\n".join(draft.options)
        prompt = OTHER.format(question=question)
        others = await tools.ask(prompt, await tools.frames_of(other), n=self.samples)
        if isinstance(others, Failure):
            return others
        given = [r.strip() for r in others if not re.fullmatch(r"\W*none\W*", r.strip(), re.I)]
        record |= {"others": given, "similarity": 0.0}
        answer = option_texts(draft.options).get(answer) or answer
        for reply in given:
            similarity = await tools.similarity(Kind.MIX_VID, question, answer, [reply])
            if isinstance(similarity, Failure):
                return similarity
            record["similarity"] = max(record["similarity"], similarity)
        return record

    def finish(self, draft: Example, record: Record) -> Example | Rejected:
        """Complete the row with its question, or reject an ambiguous one."""
        if "unread" in record:
            why = f"no question and answer in JSON: {record['unread']!r}"
            return rejected_by_teacher(draft, why)
        given, similarity = record["others"], record["similarity"]
        if given and (self.strict or similarity >= self.same):
            why = (
                f"ambiguous: about the other clip it said {given[0]!r:.120} "
                f"(similarity {similarity:.2f})"
            )
            return Rejected(draft.id, Reason.FILTERED, why, draft.id)
        return replace(
            draft,
            question=QUESTION.format(question=record["question"]),
            answer=record["answer"],
            extra={**draft.extra, "asked": record["question"], "similarity": similarity},
        )


def _clashes(one: Example, other: Example, strict: bool) -> bool:
    """Check whether two rows ask the same (and, unless ``strict``, have the same answer)."""

    def plain(text: str) -> list[str]:
        return re.findall(r"\w+", _PLACEHOLDER.sub(" ", text).casefold())

    same = plain(one.question) == plain(other.question)
    return same and (strict or plain(one.answer) == plain(other.answer))
