"""Whole groups graded: what a training step and an evaluation call.

All questions to judges, and all asynchronous custom rewards, of one call are under way
together; results are consumed by index, so the order of arrival changes nothing.

``python -m kinograd.rewards.score`` grades JSON lines from standard input (``grade_jsonl.py``).
"""

from __future__ import annotations

import argparse
import asyncio
import io
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import cast

from kinograd.config.rewards import CustomReward, RewardConfig
from kinograd.kinds import JUDGED_KINDS, KINDS
from kinograd.rewards import custom, rubric
from kinograd.rewards.modes import MODES
from kinograd.rewards.shaping import shaping_parts
from kinograd.types import (
    Example,
    Group,
    Judge,
    JudgeRequest,
    Kind,
    KinogradError,
    Rollout,
    Score,
    StopReason,
    Unscored,
    UsageError,
    Verdict,
)

_Custom = float | custom.Failed | None


def score_groups(
    groups: Sequence[Group], config: RewardConfig, judges: Mapping[str, Judge] | None = None
) -> list[Group]:
    """Return the groups with ``scores`` filled in, those of their twins too.

    Args:
        judges: by name; ``config.judges`` says which kind goes to which.

    Raises:
        UsageError: see ``check_routing``.
        KinogradError: a judge gave up on the run, or broke its contract.
    """
    judges = judges or {}
    flat = [g for group in groups for g in (group, group.twin) if g is not None]
    check_routing({g.example.kind for g in flat}, config, judges)
    cases = [(g.example, r) for g in flat for r in g.rollouts]
    early = [scored_without_grading(rollout, config) for _, rollout in cases]
    live = [i for i, score in enumerate(early) if score is None]
    asked = {i: r for i in live if (r := _request(*cases[i], config)) is not None}
    customs = {i: _plain_customs(*cases[i], config) for i in live}
    async_customs = [r for r in config.custom if custom.is_async(custom.load(r))]
    # No event loop without need: a notebook runs one already.
    verdicts: dict[int, Verdict] = {}
    if asked or async_customs:
        verdicts = asyncio.run(_await_all(cases, asked, customs, async_customs, config, judges))
    scores = [
        score or _graded(*cases[i], config, verdicts.get(i), customs[i])
        for i, score in enumerate(early)
    ]
    return _regroup(groups, scores, config)


def check_routing(
    kinds: Iterable[Kind], config: RewardConfig, judges: Collection[str] | Mapping[str, Judge]
) -> None:
    """Refuse a recipe that could not grade these kinds, before anything is sampled.

    Args:
        judges: the names under the recipe's ``judges``.

    Raises:
        UsageError: a kind without a rule or a judge, a judge that does not exist, or a
            custom reward that cannot be imported.
    """
    for reward in config.custom:
        custom.load(reward)
    for kind, name in config.judges.items():
        if kind not in JUDGED_KINDS:
            known = ", ".join(sorted(JUDGED_KINDS))
            raise UsageError(f"reward.judges: {kind!r} is not one of {known}")
        if name not in judges:
            raise UsageError(f"reward.judges.{kind}: no judge {name!r} under judges")
    if _replacement(config) is not None:
        return
    mode = MODES[config.mode]
    for kind in sorted(set(kinds)):
        if kind not in mode.kinds:
            raise UsageError(f"reward.mode {mode.name} has no rule for the kind {kind.value}")
        if mode.is_judged(kind, config) and kind not in config.judges:
            raise UsageError(
                f"examples of kind {kind.value} need a judge: set reward.judges.{kind.value} to "
                f"the name of one under judges ({', '.join(sorted(judges)) or 'there is none'})"
            )


def scored_without_grading(rollout: Rollout, config: RewardConfig) -> Score | None:
    """Return the Score of a rollout that needs no grading."""
    if len(rollout.token_ids) == 0:
        return Score.none(Unscored.EMPTY, "nothing was generated")
    if rollout.stop is StopReason.LENGTH and config.truncated != "score":
        if config.truncated == "mask":
            return Score.none(Unscored.TRUNCATED, "cut by the token budget")
        parts = {"accuracy": 0.0} | ({} if config.format == "off" else {"format": 0.0})
        return Score(0.0, parts, detail="cut by the token budget")
    return None


# -------------------------------------------------------- judges, custom rewards


def _request(example: Example, rollout: Rollout, config: RewardConfig) -> JudgeRequest | None:
    kind = example.kind
    if not MODES[config.mode].is_judged(kind, config) or _replacement(config) is not None:
        return None
    judge = KINDS[kind].judge
    events = _events(example) if judge is not None and judge.compares_events else ()
    return rubric.judge_request(
        kind, example.question, rollout.text, example.answer, config, events
    )


def _events(example: Example) -> tuple[str, ...]:
    """Return the reference's events, where ``extra.events`` is a list of sentences (DREAM-1K).

    ``extra`` is free: a key of that name that holds something else is not for us.
    """
    events = example.extra.get("events")
    if not isinstance(events, list | tuple):
        return ()
    sentences = tuple(e for e in cast("Sequence[object]", events) if isinstance(e, str))
    return sentences if len(sentences) == len(cast("Sequence[object]", events)) else ()


def _plain_customs(example: Example, rollout: Rollout, config: RewardConfig) -> dict[str, _Custom]:
    """Outside of the event loop: a plain function may run a loop of its own."""
    return {
        reward.part: custom.call(reward, example, rollout)
        for reward in config.custom
        if not custom.is_async(custom.load(reward))
    }


async def _await_all(
    cases: Sequence[tuple[Example, Rollout]],
    requests: Mapping[int, JudgeRequest],
    customs: dict[int, dict[str, _Custom]],
    async_customs: Sequence[CustomReward],
    config: RewardConfig,
    judges: Mapping[str, Judge],
) -> dict[int, Verdict]:
    """Ask judges and ``async_customs``; return the verdicts by index of the case.

    Results of the custom rewards are added to ``customs``.
    """

    async def one(i: int, reward: CustomReward) -> None:
        customs[i][reward.part] = await custom.call_async(reward, *cases[i])

    async def ask(name: str, asked: Mapping[int, JudgeRequest]) -> None:
        # Equal requests are asked once: rollouts of a group often give the same answer.
        distinct = list(dict.fromkeys(asked.values()))
        answers = await judges[name].judge(distinct)
        if len(answers) != len(distinct):
            raise KinogradError(
                f"judge {name!r} gave {len(answers)} verdicts for {len(distinct)} answers"
            )
        by_request = dict(zip(distinct, answers, strict=True))
        verdicts.update({i: by_request[request] for i, request in asked.items()})

    verdicts: dict[int, Verdict] = {}
    by_judge: dict[str, dict[int, JudgeRequest]] = {}
    for i, request in requests.items():
        by_judge.setdefault(config.judges[request.kind], {})[i] = request
    await asyncio.gather(
        *(ask(name, asked) for name, asked in by_judge.items()),
        *(one(i, reward) for i in customs for reward in async_customs),
    )
    return verdicts


def _replacement(config: RewardConfig) -> CustomReward | None:
    return next((c for c in config.custom if c.replaces == "accuracy"), None)


# ------------------------------------------------------------------- combining


def _graded(
    example: Example,
    rollout: Rollout,
    config: RewardConfig,
    verdict: Verdict | None,
    customs: Mapping[str, _Custom],
) -> Score:
    failures = [r.detail for r in customs.values() if isinstance(r, custom.Failed)]
    if failures:
        return Score.none(Unscored.GRADER_ERROR, failures[0])
    replacement, accuracy = _replacement(config), None
    if replacement is not None:
        accuracy = customs[replacement.part]
        if not isinstance(accuracy, float):
            return Score.none(Unscored.GRADER_ERROR, f"{replacement.target} returned None")
    score = rubric.grade(
        example.kind, rollout.text, example.answer, example.options, config,
        verdict=verdict, accuracy=accuracy,
    )  # fmt: skip
    added = {
        reward.part: (result, reward.weight * result)
        for reward in config.custom
        if reward is not replacement and isinstance(result := customs[reward.part], float)
    }
    return _add(score, {k: raw for k, (raw, _) in added.items()}, sum(w for _, w in added.values()))


def _regroup(groups: Sequence[Group], scores: list[Score], config: RewardConfig) -> list[Group]:
    left = iter(scores)

    def filled(group: Group) -> Group:
        own = [next(left) for _ in group.rollouts]
        correct = sum(score.correct for score in own)
        pairs = zip(own, group.rollouts, strict=True)
        added = [(s, shaping_parts(s, r, correct, config)) for s, r in pairs]
        shaped = [_add(s, parts, sum(parts.values())) for s, parts in added]
        twin = filled(group.twin) if group.twin else None
        return replace(group, scores=tuple(shaped), twin=twin)

    return [filled(group) for group in groups]


def _add(score: Score, parts: Mapping[str, float], total: float) -> Score:
    value = None if score.value is None else score.value + total
    return replace(score, value=value, parts={**score.parts, **parts}) if parts else score


def _command() -> int:
    from kinograd.rewards import grade_jsonl

    argparse.ArgumentParser(
        prog="python -m kinograd.rewards.score",
        description=grade_jsonl.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args()
    stdin = io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8", errors="replace", newline="\n")
    return grade_jsonl.main(stdin, sys.stdout, sys.stderr)


if __name__ == "__main__":
    sys.exit(_command())
