"""The judge against a real HTTP server, well-behaved and hostile."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from kinograd.config.schema import OpenAIJudge
from kinograd.endpoint.rate_limit import RateLimiter
from kinograd.endpoint.replies import ChatCompletion, Failure, parse_retry_after
from kinograd.endpoint.transport import Account, Transport
from kinograd.judge.model_judge import ModelJudge
from kinograd.types import JudgeRequest, Kind, KinogradError, Unscored, UsageError, Verdict

Build = Callable[..., Any]


def dark(candidate: str, reference: str = "The cook seasons the fish.") -> JudgeRequest:
    return JudgeRequest(Kind.DARK_EVENT, "What happened?", reference, candidate)


def ask(judge: ModelJudge, requests: Sequence[JudgeRequest]) -> list[Verdict]:
    return asyncio.run(judge.judge(requests))


def grade_by_number(body: dict[str, Any]) -> str:
    """A model whose grade is the number in "answer 17", modulo the labels."""
    labels = body["structured_outputs"]["choice"]
    if labels == ["kinograd-accepts"]:
        return labels[0]
    number = re.search(r"answer (\d+)", body["messages"][-1]["content"])
    assert number is not None
    return labels[int(number[1]) % len(labels)]


def test_verdicts_come_in_the_order_of_the_requests(serve: Build, model_judge: Build) -> None:
    server = serve(grade_by_number, latency_s=0.01)
    verdicts = ask(model_judge(server), [dark(f"answer {i}") for i in range(20)])
    assert [v.value for v in verdicts] == [float(i % 3) for i in range(20)]
    assert {v.label for v in verdicts} == {"0", "1", "2"}


def test_faults_at_thirty_percent_lose_no_verdict(serve: Build, model_judge: Build) -> None:
    n = 200
    server = serve(grade_by_number, fault_rate=0.3, seed=1)
    judge = model_judge(server, timeout_s=1.0, max_concurrency=48)
    verdicts = ask(judge, [dark(f"answer {i}") for i in range(n)])
    unscored = [v for v in verdicts if v.unscored]
    assert len(unscored) < 0.01 * n, unscored[:3]
    assert all(v.value == i % 3 for i, v in enumerate(verdicts) if v.unscored is None)
    assert len(set(server.outcomes) - {"ok"}) == 9, server.outcomes
    # One probe and n verdicts; what came of other requests was no verdict.
    assert judge.client.usage.completed <= 1 + n + server.outcomes["drivel"]


def test_success_is_not_repeated_and_concurrency_stays_below_its_bound(
    serve: Build, model_judge: Build
) -> None:
    # Without the faults that end in a time-out, so that the server's view is exact.
    faults = ("429", "503", "close", "close_midway", "garbage", "no_choices", "drivel")
    server = serve(grade_by_number, fault_rate=0.3, faults=faults, latency_s=0.005)
    judge = model_judge(server, max_concurrency=7, timeout_s=30.0)
    verdicts = ask(judge, [dark(f"answer {i}") for i in range(100)])
    assert sum(v.unscored is None for v in verdicts) == server.outcomes["ok"] - 1 == 100
    assert set(server.successes.values()) == {1}
    assert server.after_success == 0
    assert 1 < server.busiest <= 7


def test_equal_questions_in_flight_are_one_request(serve: Build, model_judge: Build) -> None:
    server = serve(grade_by_number, latency_s=0.05)
    verdicts = ask(model_judge(server), [dark("answer 1")] * 30)
    assert {v.value for v in verdicts} == {1.0}
    assert server.outcomes["ok"] == 2  # one of them asks whether the endpoint is fit


def test_overlapping_calls_share_the_bound_and_the_requests(
    serve: Build, model_judge: Build
) -> None:
    server = serve(grade_by_number, latency_s=0.02)
    judge = model_judge(server, max_concurrency=4)

    async def calls() -> list[list[Verdict]]:
        batches = [[dark(f"answer {i}") for i in range(8)]] * 3
        return await asyncio.gather(*(judge.judge(batch) for batch in batches))

    expected = [i % 3 for i in range(8)]
    assert [[v.value for v in batch] for batch in asyncio.run(calls())] == [expected] * 3
    assert server.busiest <= 4
    assert server.outcomes["ok"] == 9


def test_one_judge_serves_one_event_loop_after_another(serve: Build, model_judge: Build) -> None:
    server = serve(grade_by_number)
    judge = model_judge(server)
    values = [ask(judge, [dark(f"answer {step}"), dark("answer 2")]) for step in range(5)]
    assert [v[0].value for v in values] == [0.0, 1.0, 2.0, 0.0, 1.0]
    assert server.after_success == 0


def test_a_dead_url_is_left_for_a_living_one(serve: Build, model_judge: Build) -> None:
    dying, good = serve(grade_by_number), serve(grade_by_number)
    judge = model_judge(dying, good, max_concurrency=4)
    ask(judge, [dark("answer 0")])
    dying.fault_rate, dying.faults = 1.0, ("close",)
    verdicts = ask(judge, [dark(f"answer {i}") for i in range(40)])
    assert [v.value for v in verdicts] == [i % 3 for i in range(40)]
    assert dying.outcomes["close"] < 20


def test_retry_after_is_waited_for(serve: Build, model_judge: Build) -> None:
    server = serve(grade_by_number)
    judge = model_judge(server, backoff_s=0.0)
    ask(judge, [dark("answer 0")])
    server.fault_rate, server.faults = 1.0, ("429",)
    before = time.monotonic()
    (verdict,) = ask(judge, [dark("answer 1")])
    assert verdict.unscored is Unscored.JUDGE_UNAVAILABLE
    assert "HTTP 429" in verdict.detail
    assert server.outcomes["429"] == 7
    assert time.monotonic() - before >= 6 * 0.02


def test_a_wait_beyond_the_deadline_is_not_begun(serve: Build) -> None:
    server = serve(fault_rate=1.0, faults=("429",))
    server.retry_after_ms = 3_600_000
    outcome = complete(OpenAIJudge(urls=[server.url], model="m"))
    assert isinstance(outcome, Failure)
    assert outcome.reason is Unscored.JUDGE_TIMEOUT
    assert "HTTP 429" in outcome.detail


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 0.0),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5", "retry-after-ms": "250"}, 0.25),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "soon"}, 0.0),
        ({"retry-after": "nan"}, 0.0),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
    ],
)
def test_retry_after_is_read_in_all_its_forms(headers: dict[str, str], seconds: float) -> None:
    assert parse_retry_after(headers) == seconds


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("503", Unscored.JUDGE_UNAVAILABLE),
        ("close", Unscored.JUDGE_UNAVAILABLE),
        ("garbage", Unscored.JUDGE_UNAVAILABLE),
        ("hang", Unscored.JUDGE_TIMEOUT),
        ("slow", Unscored.JUDGE_TIMEOUT),
        ("drivel", Unscored.JUDGE_UNPARSABLE),
    ],
)
def test_an_outage_is_a_reason_and_never_a_number(
    serve: Build, model_judge: Build, fault: str, reason: Unscored
) -> None:
    server = serve(grade_by_number)
    silent = fault in ("hang", "slow")
    judge = model_judge(server, timeout_s=0.3 if silent else 30.0, max_retries=1)
    ask(judge, [dark("answer 0")])
    server.fault_rate, server.faults = 1.0, (fault,)
    (verdict,) = ask(judge, [dark("answer 1")])
    assert (verdict.value, verdict.unscored) == (None, reason)
    assert verdict.detail
    assert judge.metrics()[f"unscored/{reason}"] == 1


def test_the_deadline_ends_all_attempts(serve: Build, model_judge: Build) -> None:
    server = serve(grade_by_number)
    judge = model_judge(server, timeout_s=0.3, deadline_s=0.7, max_retries=100)
    ask(judge, [dark("answer 0")])
    server.fault_rate, server.faults = 1.0, ("hang",)
    (verdict,) = ask(judge, [dark("answer 1")])
    assert verdict.unscored is Unscored.JUDGE_TIMEOUT
    assert "deadline_s=0.7" in verdict.detail
    assert server.outcomes["hang"] <= 3


def test_a_refusal_is_not_repeated(serve: Build, model_judge: Build) -> None:
    server = serve(grade_by_number)
    judge = model_judge(server)
    ask(judge, [dark("answer 0")])
    server.refuses, server.honours = True, frozenset()
    (verdict,) = ask(judge, [dark("answer 1")])
    assert verdict.unscored is Unscored.JUDGE_UNAVAILABLE
    assert "HTTP 400" in verdict.detail
    assert server.outcomes["refused"] == 1


def complete(config: OpenAIJudge, tokens: RateLimiter | None = None) -> ChatCompletion | Failure:
    """One request of 300 characters and at most 50 reply tokens, straight through a Transport."""

    async def run() -> ChatCompletion | Failure:
        account = Account(config)
        account.tokens = tokens or account.tokens
        transport = Transport(config, account, backoff_s=0.0)
        message = {"role": "user", "content": "x" * 300}
        try:
            return await transport.complete({"messages": [message], "max_tokens": 50})
        finally:
            await transport.close()

    return asyncio.run(run())


def test_one_attempt_may_not_outlast_the_deadline(serve: Build) -> None:
    server = serve(fault_rate=1.0, faults=("hang",))
    config = OpenAIJudge(urls=[server.url], model="m", timeout_s=600.0, deadline_s=0.3)
    outcome = complete(config)  # or pytest's own limit ends the test
    assert isinstance(outcome, Failure)
    assert outcome.reason is Unscored.JUDGE_TIMEOUT


def test_requests_per_minute_are_kept(serve: Build, model_judge: Build) -> None:
    server = serve(grade_by_number)
    judge = model_judge(server, requests_per_minute=120.0)  # two a second, three at once
    before = time.monotonic()
    ask(judge, [dark(f"answer {i}") for i in range(4)])  # and the probe
    assert time.monotonic() - before >= 0.99


def test_tokens_per_minute_count_attempts_and_are_corrected_by_usage(serve: Build) -> None:
    class Ledger(RateLimiter):
        spent = 0.0
        attempts = 0

        def reserve(self, cost: float = 1.0) -> float:
            self.spent += cost
            self.attempts += 1
            return 0.0

        def correct(self, difference: float) -> None:
            self.spent += difference

    server, ledger = serve(), Ledger(None)
    config = OpenAIJudge(urls=[server.url], model="m", max_retries=2)

    assert isinstance(complete(config, ledger), ChatCompletion)
    assert (ledger.attempts, ledger.spent) == (1, 101.0)  # what the server says it was
    server.fault_rate, server.faults = 1.0, ("503",)
    assert isinstance(complete(config, ledger), Failure)
    assert (ledger.attempts, ledger.spent) == (4, 101.0 + 3 * 150.0)


# ----------------------------------------------------------------------- start


def test_auto_finds_the_strongest_constraint_that_is_honoured(
    serve: Build, model_judge: Build
) -> None:
    def obedient(body: dict[str, Any]) -> str:
        labels = body["structured_outputs"].get("choice")
        pattern = body["structured_outputs"].get("regex")
        schema = body.get("response_format", {}).get("json_schema", {}).get("schema")
        if labels:
            return labels[0]
        if pattern:
            return pattern.strip("()").split("|")[0].replace("\\", "")
        if schema:
            return json.dumps({"verdict": schema["properties"]["verdict"]["enum"][0]})
        return "I think it is\n0"

    for refuses in (False, True):
        for honours in ({"choice", "regex", "json_schema"}, {"regex"}, {"json_schema"}, set()):
            server = serve(obedient, honours=frozenset(honours), refuses=refuses)
            judge = model_judge(server, verdict="auto")
            (verdict,) = ask(judge, [dark("anything")])
            expected = next((m for m in ("choice", "regex", "json_schema") if m in honours), "text")
            assert (judge.client.mode, verdict.value) == (expected, 0.0)


def test_one_strange_reply_does_not_condemn_an_endpoint(serve: Build, model_judge: Build) -> None:
    said: list[str] = []

    def reply(body: dict[str, Any]) -> str:
        said.append("Hello!" if not said else body["structured_outputs"]["choice"][0])
        return said[-1]

    judge = model_judge(serve(reply), verdict="auto")
    assert ask(judge, [dark("anything")])[0].value == 0.0
    assert judge.client.mode == "choice"


def test_what_the_budget_cut_off_is_no_verdict(serve: Build, model_judge: Build) -> None:
    server = serve(lambda body: "I weighed both sides and conclude\n2")
    judge = model_judge(server, verdict="text")
    assert ask(judge, [dark("answer 0")])[0].value == 2.0
    server.finish = "length"
    asked = len(server.bodies)
    (verdict,) = ask(judge, [dark("answer 1")])
    assert verdict.unscored is Unscored.JUDGE_UNPARSABLE
    assert len(server.bodies) == asked + 1


def test_a_form_that_is_not_honoured_stops_at_the_start(serve: Build, model_judge: Build) -> None:
    server = serve(lambda _: "Hello!", honours=frozenset())
    with pytest.raises(UsageError, match=r"judges\.big\.verdict: 'choice' is not honoured"):
        ask(model_judge(server), [dark("anything")])


def test_a_wrong_key_stops_at_the_start(
    serve: Build, model_judge: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(grade_by_number, key="secret")
    monkeypatch.setenv("KINOGRAD_JUDGE_KEY", "guess")
    with pytest.raises(KinogradError, match="HTTP 401.*KINOGRAD_JUDGE_KEY") as caught:
        ask(model_judge(server), [dark("answer 1")])
    assert "guess" not in str(caught.value)
    monkeypatch.setenv("KINOGRAD_JUDGE_KEY", "secret")
    assert ask(model_judge(server), [dark("answer 1")])[0].value == 1.0


def test_no_server_stops_at_the_start(model_judge: Build) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    with pytest.raises(KinogradError, match="does not answer.*kinograd judge serve"):
        ask(model_judge(url, max_retries=1), [dark("answer 1")])


def test_a_kind_with_a_rule_of_its_own_is_refused(model_judge: Build) -> None:
    request = JudgeRequest(Kind.OCR, "q", "r", "c")
    with pytest.raises(UsageError, match="cannot grade kind 'ocr'"):
        ask(model_judge("http://127.0.0.1:1/v1"), [request])


# --------------------------------------------------------------- expected score


def test_the_expected_score_weighs_the_labels(serve: Build, model_judge: Build) -> None:
    judge = model_judge(serve(grade_by_number), expected_score=True)
    # The server gives the chosen label 0.5 and the other two 0.25 each.
    values = [v.value for v in ask(judge, [dark(f"answer {i}") for i in range(3)])]
    assert values == pytest.approx([0.75, 1.0, 1.25])


def test_expected_scores_need_log_probabilities(serve: Build, model_judge: Build) -> None:
    server = serve(grade_by_number, logprobs=False)
    with pytest.raises(UsageError, match="gives no log-probabilities of a bare"):
        ask(model_judge(server, expected_score=True), [dark("answer 1")])


def test_an_empty_answer_is_wrong_without_asking(serve: Build, model_judge: Build) -> None:
    server = serve(grade_by_number)
    empty = [dark(c) for c in ("", " \n", "<|im_end|>", "\u200b")]
    assert [v.value for v in ask(model_judge(server), empty)] == [0.0] * 4
    assert server.outcomes["ok"] == 1
