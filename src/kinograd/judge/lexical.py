"""Token overlap as a judge: for demos and tests, only when a recipe names it.

It needs no model and no network, and it understands nothing: a paraphrase scores low and a
negation high. Its metrics are called ``judge_lexical/*``, so that no table mixes them with
a model's verdicts.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from statistics import fmean

from kinograd.judge.autodq import f1
from kinograd.kinds import KINDS
from kinograd.types import JudgeRequest, UsageError, Verdict

_WORD = re.compile(r"\w+")
_CLAUSE_END = re.compile(
    r"[.!?;:,\n]+|\b(?:and then|then|and|while|before|after|when|afterwards|finally)\b",
    re.IGNORECASE,
)
_FUNCTION_WORDS = frozenset(
    _WORD.findall(
        "a an the and or as is are was were be been being it its he his she her they their "
        "this that these those there of to in on at by with from into onto"
    )
)
# A clause is matched from the first token F1 on, the highest label given from the second.
_SAME_EVENT = 0.5
_FULL = 0.6


@lru_cache(maxsize=65536)
def _stem(word: str) -> str:
    from nltk.stem.porter import PorterStemmer

    return PorterStemmer().stem(word)


def tokens(text: str) -> list[str]:
    """Split a text into stemmed content words, case and Unicode compositions folded.

    >>> tokens("The man opened two doors.")
    ['man', 'open', 'two', 'door']
    """
    words = _WORD.findall(unicodedata.normalize("NFKC", text).casefold())
    return [_stem(word) for word in words if word not in _FUNCTION_WORDS]


def token_f1(candidate: Sequence[str], reference: Sequence[str]) -> float:
    """Return the F1 of the multiset overlap of two token lists; 0 if either is empty."""
    common = sum((Counter(candidate) & Counter(reference)).values())
    if not common:
        return 0.0
    return f1(common / len(reference), common / len(candidate))


def clauses(text: str) -> list[list[str]]:
    """Split a description into token lists of its clauses; clauses without content are dropped."""
    return [t for part in _CLAUSE_END.split(text) if (t := tokens(part))]


def _matched(wanted: Sequence[Sequence[str]], given: Sequence[Sequence[str]]) -> float:
    """Return the share of the clauses ``wanted`` whose event ``given`` holds too."""
    if not wanted:
        return 1.0
    return fmean(any(token_f1(g, w) >= _SAME_EVENT for g in given) for w in wanted)


def score_lexically(request: JudgeRequest) -> Verdict:
    """Judge a request by token overlap; ``parts`` of the verdict always holds ``lexical_f1``.

    Raises:
        UsageError: for a kind that is not judged.
    """
    overlap = token_f1(tokens(request.candidate), tokens(request.reference))
    parts = {"lexical_f1": overlap}
    judge = KINDS[request.kind].judge
    if judge is None:
        raise UsageError(f"the lexical judge cannot grade kind {request.kind.value!r}")
    if judge.compares_events:
        given = clauses(request.candidate)
        wanted = [tokens(e) for e in request.events] or clauses(request.reference)
        recall = _matched(wanted, given) if given else 0.0
        precision = _matched(given, clauses(request.reference)) if given else 0.0
        parts |= {"recall": recall, "precision": precision}
        label = f"recall {recall:.2f} precision {precision:.2f}"
        return Verdict(f1(recall, precision), parts, label=label)
    # Labels in equal steps: the highest from _FULL on, of three the middle one from half of it.
    steps = len(judge.labels) - 1
    reached = sum(overlap >= _FULL * step / steps for step in range(1, steps + 1))
    label = list(judge.labels)[reached]
    return Verdict(judge.labels[label], parts, label=label)


class TokenOverlapJudge:
    """Judge by token overlap, ``type: lexical``."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._judged = 0

    async def judge(self, requests: Sequence[JudgeRequest]) -> list[Verdict]:
        """Judge the requests; verdicts keep their order and are never unscored."""
        self._judged += len(requests)
        return [score_lexically(request) for request in requests]

    def metrics(self) -> dict[str, float]:
        """Return counts since the start of the process, by metric name."""
        return {f"judge_lexical/{self.name}/judged": float(self._judged)}
