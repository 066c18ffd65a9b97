"""Transcriptions (1 - word error rate) and free text (mean of ROUGE-1, -2 and -L).

The libraries are loaded when first used. The released graders of Video-R1 are here too,
as they differ from the default only in what they do before counting.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache, lru_cache
from typing import Any

_STEM_CHARS = 64  # longer "words" are noise; stemming them takes quadratic time
_WIDE = re.compile(
    r"([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff])"
)
_WORD = re.compile(r"\w+")


def transcription_accuracy(answer: str, reference: str) -> float:
    """1 - word error rate, at least 0, after Unicode normalisation (NFKC).

    Each character of a script without spaces counts as a word.

    Args:
        reference: at least one word.
    """
    return published_ocr(_spaced(answer), _spaced(reference))


def published_ocr(answer: str, reference: str) -> float:
    """Video-R1: 1 - Levenshtein distance of words / max(1, reference words), in [0, 1]."""
    from jiwer import process_words

    words, heard = reference.split(), answer.split()
    if not words:  # jiwer refuses an empty reference
        return 0.0 if heard else 1.0
    counts = process_words(" ".join(words), " ".join(heard))
    errors = counts.substitutions + counts.deletions + counts.insertions
    return max(0.0, min(1.0, 1 - errors / len(words)))


def text_overlap(answer: str, reference: str) -> float:
    """Mean F1 of ROUGE-1, ROUGE-2 and ROUGE-L over stemmed words of any script.

    Unlike the released grader it gives 1 to an exact answer: ROUGE-2, which a text of one
    word has none of, then takes no part, and words need not be of a-z and 0-9.

    Args:
        reference: at least one word.
    """
    words = _tokens(reference)
    names = ("rouge1", "rouge2", "rougeL") if len(words) > 1 else ("rouge1", "rougeL")
    scores = _scorer(names, any_script=True).score(reference, answer)
    return sum(scores[n].fmeasure for n in names) / len(names)


def published_free_form(answer: str, reference: str) -> float:
    """Video-R1: mean F1 of ROUGE-1, ROUGE-2 and ROUGE-L, stemmed, in [0, 1]."""
    scores = _scorer(("rouge1", "rouge2", "rougeL"), any_script=False).score(reference, answer)
    total = scores["rouge1"].fmeasure + scores["rouge2"].fmeasure + scores["rougeL"].fmeasure
    return max(0.0, min(1.0, total / 3))


def has_words(text: str) -> bool:
    """Whether there is anything that ``text_overlap`` counts."""
    return _WORD.search(text) is not None


@cache
def _stem() -> Any:
    from nltk.stem import porter  # pyright: ignore[reportMissingTypeStubs]

    stemmer: Any = porter.PorterStemmer()
    return lru_cache(1 << 16)(stemmer.stem)  # most words come again, and stemming is slow


def _spaced(text: str) -> str:
    return _WIDE.sub(r" \1 ", unicodedata.normalize("NFKC", text))


def _tokens(text: str) -> list[str]:
    """Stemmed words, as rouge_score has them, but of any script."""
    text = _spaced(text).casefold()
    stem = _stem()
    return [
        stem(w) if 3 < len(w) <= _STEM_CHARS and w.isascii() else w for w in _WORD.findall(text)
    ]


class _AnyScript:
    """Tokenizer in the shape that rouge_score asks for."""

    def tokenize(self, text: str) -> list[str]:
        return _tokens(text)


@cache
def _scorer(names: tuple[str, ...], *, any_script: bool) -> Any:
    from rouge_score import rouge_scorer  # pyright: ignore[reportMissingTypeStubs]

    return rouge_scorer.RougeScorer(
        list(names), use_stemmer=True, tokenizer=_AnyScript() if any_script else None
    )
