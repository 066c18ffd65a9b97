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
from collections.abc import Awaitable, Callable, Mapping, Sequence
from statistics import fmean
from typing import Any

from kinograd.endpoint.forms import EventList, Form, LabelPerItem
from kinograd.endpoint.replies import Failure
from kinograd.endpoint.structured import Parsed
from kinograd.judge.untrusted import fence, neutralise
from kinograd.types import Verdict

MAX_EVENTS = 10
RELATIONS = ("entailment", "neutral", "contradiction")

AskPrompt = Callable[[str, Form, Mapping[str, str]], Awaitable[Parsed[Any] | Failure]]
"""Ask the judge: (prompt name, form of the reply, prompt values) to the reply or a Failure."""

_Side = tuple[tuple[str, str], ...]  # (event, relation)


def f1(recall: float, precision: float) -> float:
    """Return the harmonic mean of recall and precision; 0 when both are 0."""
    total = recall + precision
    return 2.0 * recall * precision / total if total else 0.0


async def extract_events(ask: AskPrompt, description: str) -> tuple[str, ...] | Failure:
    """Ask for the atomic events of a description, at most ten."""
    values = {"description": fence(description), "limit": str(MAX_EVENTS)}
    answer = await ask("events", EventList(MAX_EVENTS), values)
    return answer if isinstance(answer, Failure) else answer.value


async def _relate(ask: AskPrompt, events: Sequence[str], description: str) -> _Side | Failure:
    """Ask for the relation of each event to the description; the pairs keep their order."""
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
    ask: AskPrompt,
    reference: str,
    candidate: str,
    reference_events: tuple[str, ...] = (),
    precision_counts: frozenset[str] = frozenset({"entailment"}),
) -> Verdict:
    """Judge a candidate description by recall and precision of events; ``value`` is their F1.

    Args:
        ask: puts a question to the judge.
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
    """Return the share of the events whose relation counts; 1 where there is no event."""
    return fmean(relation in counts for _, relation in side) if side else 1.0
