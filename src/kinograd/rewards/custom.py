"""A user's own reward functions.

A function takes the Example and the Rollout and returns a number, or None where it has
nothing to say about this example. It may be ``async``. Whatever it raises is its own
affair: the rollout is unscored (``grader_error``) and the traceback is logged once.
"""

from __future__ import annotations

import importlib
import inspect
import logging
import math
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kinograd.config.rewards import CustomReward
from kinograd.types import Example, Rollout, UsageError

_log = logging.getLogger(__name__)
_LONGEST = 300  # characters of a foreign exception that are recorded
_reported: set[str] = set()


@dataclass(frozen=True, slots=True)
class Failed:
    """A custom reward raised, or returned something that is no number."""

    detail: str


def load(reward: CustomReward) -> Callable[[Example, Rollout], Any]:
    """Import the function that ``target`` names.

    Raises:
        UsageError: there is no such module or function.
    """
    module, name = reward.target.split(":")
    try:
        function = getattr(importlib.import_module(module), name, None)
    except ImportError as error:
        raise UsageError(
            f"reward.custom: cannot import {module!r} ({error}); is it installed or on PYTHONPATH?"
        ) from error
    if not callable(function):
        raise UsageError(f"reward.custom: module {module!r} has no function {name!r}")
    return function


def is_async(function: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(function)


def call(reward: CustomReward, example: Example, rollout: Rollout) -> float | Failed | None:
    """Call a plain function and return its result."""
    try:
        return _number(reward, load(reward)(example, rollout))
    except Exception as error:  # noqa: BLE001 -- foreign code
        return _failed(reward, error)


async def call_async(
    reward: CustomReward, example: Example, rollout: Rollout
) -> float | Failed | None:
    """Await an ``async`` function and return its result."""
    try:
        return _number(reward, await load(reward)(example, rollout))
    except Exception as error:  # noqa: BLE001 -- foreign code
        return _failed(reward, error)


def _number(reward: CustomReward, value: Any) -> float | Failed | None:
    if value is None:
        return None
    number = float(value)
    if not math.isfinite(number):
        return Failed(f"{reward.target} returned {number}")
    return number


def _failed(reward: CustomReward, error: Exception) -> Failed:
    if reward.target not in _reported:
        _reported.add(reward.target)
        _log.error(
            "custom reward %s failed; later failures are only counted\n%s",
            reward.target,
            _traceback(error),
        )
    return Failed(f"{reward.target} raised {type(error).__name__}: {_one_line(error)}")


def _traceback(error: Exception) -> str:
    """Return the traceback as text that every log can encode."""
    text = "".join(traceback.format_exception(error))
    return text.encode(errors="backslashreplace").decode()


def _one_line(error: Exception) -> str:
    """Return the text of a foreign exception, escaped and cut to what a record can hold."""
    try:
        text = " ".join(str(error).split())
    except Exception:  # noqa: BLE001 -- foreign code
        return "(its text cannot be had)"
    # a lone surrogate, a NUL or a megabyte must not enter rollouts and reports
    escaped = "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[:_LONGEST]
    )
    return escaped if len(text) <= _LONGEST else f"{escaped}..."
