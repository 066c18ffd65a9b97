"""Reward functions as a user would write them."""

from __future__ import annotations

import asyncio

from kinograd.types import Example, Rollout

calls: list[str] = []


def brevity(example: Example, rollout: Rollout) -> float:
    calls.append(example.id)
    return 1.0 / len(rollout.token_ids)


async def slow_brevity(example: Example, rollout: Rollout) -> float:
    await asyncio.sleep(0)
    return 1.0 / len(rollout.token_ids)


def only_captions(example: Example, rollout: Rollout) -> float | None:
    return 1.0 if example.kind == "caption" else None


def own_grader(example: Example, rollout: Rollout) -> float:
    return 0.75 if example.answer in rollout.text else 0.0


def runs_its_own_loop(example: Example, rollout: Rollout) -> float:
    return asyncio.run(slow_brevity(example, rollout))


def broken(example: Example, rollout: Rollout) -> float:
    raise LookupError("no such clip")


async def slow_broken(example: Example, rollout: Rollout) -> float:
    raise LookupError("no such clip")


def not_a_number(example: Example, rollout: Rollout) -> float:
    return float("nan")


def no_opinion(example: Example, rollout: Rollout) -> None:
    return None


def words(example: Example, rollout: Rollout) -> str:
    return "good"
