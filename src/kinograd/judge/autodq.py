"""AutoDQ: how many events of one description the other one entails (arXiv 2407.00634).

Recall is the share of the reference's events that the candidate entails, precision the
share of the candidate's events that the reference entails. Published rules, kept: at most
ten atomic events on each side; only ``entailment`` counts, for precision too (the code has
an unused path on which ``neutral`` counts as well: the option ``entailment_or_neutral``);
a side without events scores 1; an empty candidate scores 0 and 0.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from kinograd.endpoint.transport import Failure
from kinograd.judge.structured_client import Ask
from kinograd.judge.untrusted import fence, neutralise
from kinograd.judge.verdict import EventList, LabelPerItem
from kinograd.types import Verdict

MAX_EVENTS = 10
RELATIONS = ("entailment", "neutral", "contradiction")

_Side = tuple[tuple[str, str], ...]  # (event, relation)


def f1(recall: float, precision: float) -> float:
    """Harmonic mean; 0 when both are 0."""
    total = recall + precision
    return 2.0 * recall * precision / total if total else 0.0


async def extract_events(ask: Ask, description: str) -> tuple[str, ...] | Failure:
    """At most ten atomic events of a description."""
    values = {"description": fence(description), "limit": str(MAX_EVENTS)}
    answer = await ask("events", EventList(MAX_EVENTS), values)
    return answer if isinstance(answer, Failure) else answer.value


async def _relate(ask: Ask, events: Sequence[str], description: str) -> _Side | Failure:
    """Each event with what the description says of it."""
    if not events:
        return ()
    # One line each: an event that spans lines could number itself.
    lines = (" ".join(neutralise(event).split()) for event in events)
    numbered = "\n".join(f"{i}. {line}" for i, line in enumerate(lines, start=1))
    values = {"description": fence(description), "events": fence(numbered)}
    answer = await ask("entailment", LabelPerItem(len(events), RELATIONS), values)
    if isinstance(answer, Failure):
        return answer
    return tuple(zip(events, answer.value, strict=True))


async def judge_caption(
    ask: Ask,
    reference: str,
    candidate: str,
    reference_events: tuple[str, ...] = (),
    precision_counts: frozenset[str] = frozenset({"entailment"}),
) -> Verdict:
    """Recall and precision of a candidate description; ``value`` is their F1.

    Args:
        ask: how to put a question to the judge.
        reference: trusted description; cleaned by the caller, as ``candidate`` is.
        candidate: description to be judged, not empty.
        reference_events: the reference's events where the data carries them.
        precision_counts: relations that count as right for precision.

    Returns:
        ``parts`` holds ``recall`` and ``precision``; ``detail`` the events with their
        relations as JSON. Unscored as soon as one of the judge's replies is missing.
    """

    async def side(own: str, known: Sequence[str], other: str) -> _Side | Failure:
        events = known or await extract_events(ask, own)
        return events if isinstance(events, Failure) else await _relate(ask, events, other)

    recalled, supported = await asyncio.gather(
        side(reference, reference_events, candidate), side(candidate, (), reference)
    )
    if isinstance(recalled, Failure):
        return Verdict(None, unscored=recalled.reason, detail=recalled.detail)
    if isinstance(supported, Failure):
        return Verdict(None, unscored=supported.reason, detail=supported.detail)
    recall = _share(recalled, frozenset({"entailment"}))
    precision = _share(supported, precision_counts)
    detail = {"reference_events": recalled, "predicted_events": supported}
    return Verdict(
        f1(recall, precision),
        {"recall": recall, "precision": precision},
        label=f"recall {recall:.2f} precision {precision:.2f}",
        detail=json.dumps(detail, ensure_ascii=False),
    )


def _share(side: _Side, counts: frozenset[str]) -> float:
    """Share of the events whose relation counts; 1 where there is no event."""
    return fmean(relation in counts for _, relation in side) if side else 1.0


# ------------------------------------------------------------------ aggregation


@dataclass(frozen=True, slots=True)
class DreamScore:
    """Recall and precision of a benchmark and the F1 *of those averages*.

    ``by_subset`` holds the same for each subset; ``unscored`` rows entered no average.
    """

    recall: float
    precision: float
    f1: float
    n: int
    unscored: int
    by_subset: dict[str, DreamScore]


def aggregate_dream(rows: Iterable[tuple[str, Verdict]], per: str = "subset") -> DreamScore:
    """DREAM-1K's aggregation of caption verdicts.

    Args:
        rows: (subset, verdict); DREAM-1K has five subsets of 200 clips.
        per: ``subset`` averages recall and precision over subsets (the authors' script);
            ``sample`` over rows (VLMEvalKit). Either way F1 is taken last, it is not the
            mean of the rows' F1.

    Raises:
        ValueError: if a subset has no scored row (its mean does not exist, and the others'
            would be another benchmark), or ``per`` is neither.
    """
    if per not in ("subset", "sample"):
        raise ValueError(f"per must be 'subset' or 'sample', not {per!r}")
    rows = list(rows)
    subsets = sorted({subset for subset, _ in rows})
    verdicts = {subset: [v for s, v in rows if s == subset] for subset in subsets}
    by_subset = {subset: _mean_score(subset, own) for subset, own in verdicts.items()}
    if per == "sample" or not rows:
        return replace(_mean_score("the data", [v for _, v in rows]), by_subset=by_subset)
    recall = fmean(score.recall for score in by_subset.values())
    precision = fmean(score.precision for score in by_subset.values())
    n = sum(score.n for score in by_subset.values())
    return DreamScore(recall, precision, f1(recall, precision), n, len(rows) - n, by_subset)


def _mean_score(name: str, verdicts: Sequence[Verdict]) -> DreamScore:
    scored = [v.parts for v in verdicts if v.unscored is None]
    if not scored:
        raise ValueError(f"no caption of {name} was scored, so there is nothing to average")
    recall, precision = (fmean(p[key] for p in scored) for key in ("recall", "precision"))
    unscored = len(verdicts) - len(scored)
    return DreamScore(recall, precision, f1(recall, precision), len(scored), unscored, {})
