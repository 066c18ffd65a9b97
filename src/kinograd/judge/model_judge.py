"""A language model as judge, behind any OpenAI-compatible endpoint.

What fails stays a failure with its reason; it never turns into a number.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from kinograd.config.schema import OpenAIJudge
from kinograd.endpoint.forms import Form, OneLabel
from kinograd.endpoint.replies import Failure
from kinograd.endpoint.structured import AskForm, Parsed, Question, StructuredClient
from kinograd.judge.autodq import AskPrompt, judge_caption
from kinograd.judge.templates import load_template
from kinograd.judge.untrusted import cap, fence, neutralise
from kinograd.kinds import JUDGED_KINDS, KINDS
from kinograd.types import JudgeRequest, Unscored, UsageError, Verdict


class ModelJudge:
    """Judge behind an OpenAI-compatible endpoint, ``type: openai``.

    ``dark_event`` is graded 0, 1 or 2, ``mix_vid`` and ``free_form`` 0 or 1 (with
    ``expected_score`` anything between), ``caption`` by AutoDQ: ``parts`` holds recall and
    precision, the value is their F1.

    Args:
        name: its name in the recipe.
        backoff_s: wait before the second attempt of a request; doubled for each further one.

    Raises:
        KinogradError: if the cache file cannot be used.
    """

    def __init__(self, name: str, config: OpenAIJudge, backoff_s: float = 0.5) -> None:
        self.name = name
        self.config = config
        self.client = StructuredClient(name, config, backoff_s)
        self._backoff_s = backoff_s
        self._judged = 0
        self._unscored: Counter[Unscored] = Counter()

    def without_cache(self) -> ModelJudge:
        """Return a copy without cache, which asks the endpoint every question again."""
        config = self.config.model_copy(update={"cache": None})
        copy = ModelJudge(self.name, config, self._backoff_s)
        copy.client.served = self.client.served  # both notice when the model changes
        return copy

    async def judge(self, requests: Sequence[JudgeRequest]) -> list[Verdict]:
        """Judge the requests; the verdicts keep their order.

        Raises:
            UsageError: for a kind that is not judged, or, at the very first call, if the
                endpoint does not honour what the recipe wants.
            KinogradError: if an endpoint does not answer at the very first call; from then
                on that is a Verdict with its reason.
        """
        for kind in {r.kind for r in requests} - JUDGED_KINDS:
            raise UsageError(
                f"judge {self.name!r} cannot grade kind {kind.value!r}; reward.judges may route "
                f"{', '.join(sorted(JUDGED_KINDS))}"
            )
        async with self.client.session() as put:
            ask = partial(self._ask, put)
            verdicts = await asyncio.gather(*(self._judge_one(ask, r) for r in requests))
        self._judged += len(verdicts)
        self._unscored.update(v.unscored for v in verdicts if v.unscored)
        return verdicts

    def metrics(self) -> dict[str, float]:
        """Return counts since the start of the process, by name; ``latency_s`` is a mean."""
        used = self.client.usage
        return {
            "judged": self._judged,
            "requests": used.completed,
            "reused": self.client.reused,
            "prompt_tokens": used.prompt_tokens,
            "completion_tokens": used.completion_tokens,
            "latency_s": used.seconds / max(1, used.completed),
            **{f"unscored/{reason.value}": n for reason, n in self._unscored.items()},
        }

    async def _ask(
        self, put: AskForm, prompt: str, form: Form, values: Mapping[str, str]
    ) -> Parsed[Any] | Failure:
        mode = self.client.mode
        assert mode is not None, "the session agrees on a mode first"
        template = load_template(self.config.prompts, prompt)
        chat = template.render(reply=form.instruction(mode), **values)
        return await put(Question(chat, template.version), form)

    async def _judge_one(self, ask: AskPrompt, request: JudgeRequest) -> Verdict:
        candidate = self._untrusted(request.candidate)
        judge = KINDS[request.kind].judge
        assert judge is not None, "judge() rejects other kinds"
        if not candidate:
            # Saying nothing is wrong, not unscored, and it takes no judge to see it.
            return replace(judge.empty_verdict(), label="empty")
        if judge.compares_events:
            return await self._judge_caption(ask, request, candidate)
        prompt, values = judge.prompt, judge.labels
        fields = {
            "question": fence(neutralise(request.question)),
            "reference": fence(neutralise(request.reference)),
            "candidate": fence(candidate),
        }
        answer = await ask(prompt, OneLabel(tuple(values)), fields)
        if isinstance(answer, Failure):
            return Verdict(None, unscored=answer.reason, detail=answer.detail)
        if not self.config.expected_score:
            return Verdict(values[answer.value], label=answer.value)
        if (expected := expected_value(values, answer.logprobs)) is None:
            detail = f"no verdict among the likeliest tokens {sorted(answer.logprobs)}"
            return Verdict(None, unscored=Unscored.JUDGE_UNPARSABLE, detail=detail)
        return Verdict(expected[0], {"label_mass": expected[1]}, label=answer.value)

    async def _judge_caption(
        self, ask: AskPrompt, request: JudgeRequest, candidate: str
    ) -> Verdict:
        counts = {"entailment"}
        if self.config.precision == "entailment_or_neutral":
            counts.add("neutral")
        return await judge_caption(
            ask,
            self._description(request.reference),
            self._description(candidate),
            request.events,
            frozenset(counts),
        )

    def _description(self, text: str) -> str:
        """Clean a description for AutoDQ; the published script lowers its case."""
        text = neutralise(text)
        return text.lower() if self.config.prompts == "published" else text

    def _untrusted(self, text: str) -> str:
        # Cut coarsely first: there is no end to what a policy may write.
        limit = self.config.max_candidate_chars
        return cap(neutralise(text[: 4 * limit]), limit)


def expected_value(
    values: Mapping[str, float], logprobs: Mapping[str, float]
) -> tuple[float, float] | None:
    """Return the mean of the labels' values under the judge's probabilities, and their mass.

    One label carries little when a judge hesitates; the mean over its first token separates
    1.4 from 0.6 (as in G-Eval, arXiv 2303.16634). Labels are normalised among themselves, since
    a server may report probabilities as they were before the constraint.

    Args:
        values: label to value; no label may begin like another.
        logprobs: likeliest first tokens to log-probabilities. A token counts for the label
            that it begins: small vocabularies spell ``True`` in pieces.

    Returns:
        None if no token begins a label.
    """
    mass = dict.fromkeys(values, 0.0)
    for token, logprob in logprobs.items():
        begun = [label for label in values if label.startswith(token.strip())]
        if len(begun) == 1:
            mass[begun[0]] += math.exp(logprob)
    total = sum(mass.values())
    if total <= 0.0:
        return None
    return sum(values[label] * p for label, p in mass.items()) / total, total
