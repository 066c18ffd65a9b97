"""AutoDQ over a scripted model: the published rules, the options, the outages."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from kinograd.types import JudgeRequest, Kind, Unscored

Build = Callable[..., Any]
REFERENCE = "A man opens the door. He sits down. He reads a letter."


def scripted(body: dict[str, Any]) -> str:
    """A model for which sentences are events and words decide entailment.

    An event is entailed if the description holds it, contradicted if it holds "never", else
    neutral.
    """
    outputs, content = body["structured_outputs"], body["messages"][-1]["content"]
    if "choice" in outputs:
        return outputs["choice"][0]
    fenced = re.findall(r"^(`{3,})\n(.*?)\n\1$", content, re.DOTALL | re.MULTILINE)
    description = fenced[0][1]
    if len(fenced) == 1:
        events = re.findall(r"[^.]+\.", description)
        return "\n".join(f"- {event.strip()}" for event in events) or "none"
    verdicts = []
    for line in fenced[1][1].split("\n"):
        number, event = line.split(". ", 1)
        other = "contradiction" if "never" in description else "neutral"
        verdicts.append(f"{number}: {'entailment' if event in description else other}")
    return "\n".join(verdicts)


def caption(candidate: str, *events: str, reference: str = REFERENCE) -> JudgeRequest:
    return JudgeRequest(Kind.CAPTION, "Describe the video.", reference, candidate, events)


def test_recall_and_precision_are_shares_of_entailed_events(
    serve: Build, model_judge: Build
) -> None:
    candidate = "He sits down. He sings. He dances. He reads a letter."
    (verdict,) = asyncio.run(model_judge(serve(scripted)).judge([caption(candidate)]))
    assert verdict.parts == {"recall": pytest.approx(2 / 3), "precision": 0.5}
    assert verdict.value == pytest.approx(4 / 7)
    detail = json.loads(verdict.detail)
    assert detail["predicted_events"] == [
        ["He sits down.", "entailment"],
        ["He sings.", "neutral"],
        ["He dances.", "neutral"],
        ["He reads a letter.", "entailment"],
    ]


def test_neutral_counts_for_precision_only_when_asked(serve: Build, model_judge: Build) -> None:
    request = caption("He sits down. He sings.")
    for precision, expected in (("entailment", 0.5), ("entailment_or_neutral", 1.0)):
        judge = model_judge(serve(scripted), precision=precision)
        (verdict,) = asyncio.run(judge.judge([request]))
        assert verdict.parts == {"recall": pytest.approx(1 / 3), "precision": expected}
    never = caption("He sits down. He sings.", reference="He never sings.")
    judge = model_judge(serve(scripted), precision="entailment_or_neutral")
    assert asyncio.run(judge.judge([never]))[0].parts["precision"] == 0.0


def test_edge_cases_follow_the_published_rules(serve: Build, model_judge: Build) -> None:
    server = serve(scripted)
    requests = [caption(""), caption("a red wall"), caption("He sings.", reference="a red wall")]
    empty, no_events, no_reference = asyncio.run(model_judge(server).judge(requests))
    assert (empty.value, empty.parts) == (0.0, {"recall": 0.0, "precision": 0.0})
    assert no_events.parts == {"recall": 0.0, "precision": 1.0}
    assert no_reference.parts == {"recall": 1.0, "precision": 0.0}


def test_events_of_a_reference_are_extracted_once_per_data_set(
    serve: Build, model_judge: Build, tmp_path: Any
) -> None:
    server = serve(scripted, latency_s=0.01)
    cache = str(tmp_path / "verdicts.sqlite")
    judge = model_judge(server, cache=cache)
    group = [caption(f"He sings {i} songs.") for i in range(8)]
    asyncio.run(judge.judge(group))
    asyncio.run(model_judge(server, cache=cache).judge(group))  # the next run
    of_reference = [
        b for b in server.bodies if "List the main" in str(b) and "opens the door" in str(b)
    ]
    assert len(of_reference) == 1
    # Two probes, the reference's events, and three questions for each of eight captions.
    assert len(server.bodies) == 2 + 1 + 24


def test_events_of_the_data_replace_extraction(serve: Build, model_judge: Build) -> None:
    server = serve(scripted)
    request = caption("He sits down.", "He sits down.", "A dog\nbarks.")
    (verdict,) = asyncio.run(model_judge(server).judge([request]))
    assert verdict.parts["recall"] == 0.5
    related = [str(b["messages"]) for b in server.bodies if "2. A dog barks." in str(b)]
    assert len(related) == 1
    assert not any("List" in str(b) and "opens the door" in str(b) for b in server.bodies)


@pytest.mark.parametrize("failing", ["List the main", "Numbered events"])
def test_one_missing_reply_leaves_the_caption_unscored(
    serve: Build, model_judge: Build, failing: str
) -> None:
    def reply(body: dict[str, Any]) -> str:
        return "I would rather not." if failing in str(body["messages"]) else scripted(body)

    (verdict,) = asyncio.run(model_judge(serve(reply)).judge([caption("He sings.")]))
    assert (verdict.value, dict(verdict.parts)) == (None, {})
    assert verdict.unscored is Unscored.JUDGE_UNPARSABLE
    assert "I would rather not." in verdict.detail


def test_the_published_prompts_read_lower_case(serve: Build, model_judge: Build) -> None:
    server = serve(scripted)
    asyncio.run(model_judge(server, prompts="published").judge([caption("HE SINGS.")]))
    messages = str([b["messages"] for b in server.bodies[1:]])
    assert "he sings." in messages
    assert "HE SINGS" not in messages
