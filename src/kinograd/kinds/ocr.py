"""OCR: the answer transcribes text that the clip shows."""

from __future__ import annotations

from collections.abc import Sequence

from kinograd.grading.text import transcription_accuracy
from kinograd.kinds.base import AnswerKind, Grade, graded
from kinograd.types import Kind, Score


class Ocr(AnswerKind):
    """A transcription; accuracy is 1 - word error rate, at least 0."""

    name = Kind.OCR
    aliases = ("OCR",)
    answer_form = (
        " Please transcribe text from the image/video clearly and provide your text answer "
        "within the <answer> </answer> tags."
    )

    def grade(self, answer: str, gold: str, options: Sequence[str] = ()) -> Grade | Score:
        return graded(transcription_accuracy(answer, gold), bool(answer), answer, gold)


KIND = Ocr()
