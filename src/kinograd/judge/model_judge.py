"""A language model as judge, behind any OpenAI-compatible endpoint.

What fails stays a failure with its reason; it never turns into a number.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence

from kinograd.config.schema import OpenAIJudge
from kinograd.endpoint.transport import Failure
from kinograd.judge.autodq import judge_caption
from kinograd.judge.structured_client import Ask, Asker
from kinograd.judge.untrusted import cap, fence, neutralise
from kinograd.judge.verdict import OneLabel, expected_value
from kinograd.types import JudgeRequest, Kind, Unscored, UsageError, Verdict

_GRADES = {"0": 0.0, "1": 1.0, "2": 2.0}
_TRUTHS = {"False": 0.0, "True": 1.0}
# Kind to the prompt that grades it and the values of its labels; captions go to AutoDQ.
_LABELLED: Mapping[Kind, tuple[str, Mapping[str, float]]] = {
    Kind.DARK_EVENT: ("dark_event", _GRADES),
    Kind.MIX_VID: ("answer", _TRUTHS),
    Kind.FREE_FORM: ("answer", _TRUTHS),
}
JUDGED_KINDS = frozenset({*_LABELLED, Kind.CAPTION})


class ModelJudge:
    """The judge behind ``type: openai``.

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
        self.asker = Asker(name, config, backoff_s)
        self._backoff_s = backoff_s
        self._judged = 0
        self._unscored: Counter[Unscored] = Counter()

    def without_cache(self) -> ModelJudge:
        """The same judge with an empty memory: what the endpoint says now."""
        config = self.config.model_copy(update={"cache": None})
        return ModelJudge(self.name, config, self._backoff_s)

    async def judge(self, requests: Sequence[JudgeRequest]) -> list[Verdict]:
        """Verdicts in the order of the requests.

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
        async with self.asker.session() as ask:
            verdicts = await asyncio.gather(*(self._judge_one(ask, r) for r in requests))
        self._judged += len(verdicts)
        self._unscored.update(v.unscored for v in verdicts if v.unscored)
        return verdicts

    def metrics(self) -> dict[str, float]:
        """Counts since the start of the process, by name; ``latency_s`` is a mean."""
        stats = self.asker.stats
        return {
            "judged": self._judged,
            **{k: stats[k] for k in ("requests", "reused", "prompt_tokens", "completion_tokens")},
            "latency_s": stats["seconds"] / max(1, stats["requests"]),
            **{f"unscored/{reason.value}": n for reason, n in self._unscored.items()},
        }

    # ------------------------------------------------------------- one request

    async def _judge_one(self, ask: Ask, request: JudgeRequest) -> Verdict:
        candidate = self._untrusted(request.candidate)
        if request.kind is Kind.CAPTION:
            return await self._judge_caption(ask, request, candidate)
        if not candidate:
            # Saying nothing is wrong, not unscored, and it takes no judge to see it.
            return Verdict(0.0, label="empty")
        prompt, values = _LABELLED[request.kind]
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

    async def _judge_caption(self, ask: Ask, request: JudgeRequest, candidate: str) -> Verdict:
        if not candidate:
            return Verdict(0.0, {"recall": 0.0, "precision": 0.0}, label="empty")
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
        """A description as AutoDQ reads it; the published script lowers its case."""
        text = neutralise(text)
        return text.lower() if self.config.prompts == "published" else text

    def _untrusted(self, text: str) -> str:
        # Cut coarsely first: there is no end to what a policy may write.
        limit = self.config.max_candidate_chars
        return cap(neutralise(text[: 4 * limit]), limit)
