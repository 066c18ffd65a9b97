"""Rollouts that the page embeds: steps and strips within a budget, grouped for the viewer."""

from __future__ import annotations

import base64
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kinograd import files
from kinograd.report.load import Run
from kinograd.runs.layout import Layout

_STRIP_NAME = re.compile(r"[\w-]+\.jpg")
_ROLLOUT = (
    "text",
    "value",
    "parts",
    "unscored",
    "correct",
    "detail",
    "advantage",
    "length",
    "stop",
)
_QUESTION = ("id", "kind", "source", "question", "options", "gold")


@dataclass
class Budget:
    """Number of bytes that may still be embedded."""

    text: int = 8 << 20
    strips: int = 12 << 20


@dataclass
class Embedded:
    """Content of the rollout viewer.

    Attributes:
        runs: {name, steps: [{step, groups: [{question's keys, views: [{view, strips,
            rollouts}]}]}]}.
        strips: data URI by ``run/file``; one that did not fit or is missing is absent.
        counts: per run, rollouts and unscored ones by reason over the steps read.
        left_out: per run, logged steps that are not embedded.
    """

    runs: list[dict[str, Any]] = field(default_factory=list)
    strips: dict[str, str] = field(default_factory=dict)
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    strips_left_out: int = 0


def embed(runs: Sequence[Run], budget: Budget) -> Embedded:
    """Embed evenly spaced steps of every run, first and last included, within ``budget``."""
    out = Embedded()
    with_rollouts = [run for run in runs if run.rollout_files]
    for position, run in enumerate(with_rollouts):
        share = budget.text // (len(with_rollouts) - position)
        steps = _steps_that_fit(run, share)
        budget.text -= sum(run.rollout_files[s].stat().st_size for s in steps)
        rows = {step: files.read_records(run.rollout_files[step]) for step in steps}
        out.left_out[run.name] = len(run.rollout_files) - len(steps)
        out.counts[run.name] = _counts(row for step in steps for row in rows[step])
        grouped = [{"step": step, "groups": _groups(rows[step], run.name)} for step in steps]
        out.runs.append({"name": run.name, "steps": grouped})
    _embed_strips(out, {run.name: Layout(run.path).strips for run in with_rollouts}, budget.strips)
    return out


def _steps_that_fit(run: Run, limit: int) -> list[int]:
    """Choose as many evenly spaced steps as fit ``limit`` bytes, at least the last."""
    steps = list(run.rollout_files)
    sizes = {step: file.stat().st_size for step, file in run.rollout_files.items()}
    for count in range(len(steps), 1, -1):
        gap = (len(steps) - 1) / (count - 1)
        chosen = [steps[round(i * gap)] for i in range(count)]
        if sum(sizes[step] for step in chosen) <= limit:
            return chosen
    return steps[-1:]


def _counts(rows: Iterable[dict[str, Any]]) -> dict[str, int]:
    seen = list(rows)
    unscored = Counter(row["unscored"] for row in seen if row["unscored"] is not None)
    return {"rollouts": len(seen), **unscored}


def _groups(rows: list[dict[str, Any]], run: str) -> list[dict[str, Any]]:
    groups: dict[int, dict[str, Any]] = {}
    for row in rows:
        group = groups.setdefault(row["group"], {k: row[k] for k in _QUESTION} | {"views": {}})
        strips = [f"{run}/{name}" for name in row["strips"]]
        view = group["views"].setdefault(
            row["view"], {"view": row["view"], "strips": strips, "rollouts": []}
        )
        view["rollouts"].append({key: row[key] for key in _ROLLOUT})
    return [group | {"views": list(group["views"].values())} for group in groups.values()]


def _embed_strips(out: Embedded, folders: dict[str, Path], limit: int) -> None:
    """Embed the strips of every step's first group, then of every second one, and so on."""
    steps = [(run["name"], step["groups"]) for run in out.runs for step in run["steps"]]
    longest = max((len(groups) for _, groups in steps), default=0)
    wanted = [
        (run, key)
        for i in range(longest)
        for run, groups in steps
        if i < len(groups)
        for view in groups[i]["views"]
        for key in view["strips"]
    ]
    for run, key in dict.fromkeys(wanted):
        uri = _data_uri(folders[run], key.removeprefix(f"{run}/"))
        if uri is None:
            continue
        if len(uri) > limit:
            out.strips_left_out += 1
            continue
        limit -= len(uri)
        out.strips[key] = uri


def _data_uri(folder: Path, name: str) -> str | None:
    """Encode a strip as a data URI; None if it is missing, not a JPEG or outside the folder."""
    file = folder / name
    if not _STRIP_NAME.fullmatch(name) or not file.is_file() or file.is_symlink():
        return None
    data = file.read_bytes()
    if not data.startswith(b"\xff\xd8\xff"):  # not a JPEG
        return None
    return "data:image/jpeg;base64," + base64.b64encode(data).decode()
