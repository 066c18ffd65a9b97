"""Writer of a run folder: recipe, environment, metrics, rollouts and frame strips.

``runs.layout`` says where each file lies. Metric names are ``topic/name`` (``reward/mean``,
``time/rollout_s``); the report draws one chart per topic.
"""

from __future__ import annotations

import errno
import fcntl
import io
import json
import logging
import math
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import yaml
from pydantic import BaseModel

from kinograd import files
from kinograd.runs.environment import describe_environment
from kinograd.runs.layout import Layout, steps_in
from kinograd.runs.trackers import Trackers
from kinograd.types import Clip, Group, KinogradError, UsageError, View

_STRIP_HEIGHT = 90  # pixels; larger frames are scaled down, smaller ones kept
_STRIP_GAP = 3  # white pixels between frames
_STRIP_QUALITY = 75
_BEFORE_THE_RECIPE = re.compile(r"\.lock|recipe\.yaml\..*\.partial")
_RESERVED = ("step", "time", "nonfinite")
_MAY_DIFFER = {
    *("run.dir", "run.keep", "data.max_failed_fraction", "eval.max_error_fraction"),
    *("video.workers", "video.memory_gb", "video.cache_gb"),
}

log = logging.getLogger(__name__)

Advantages = Sequence[float] | np.ndarray | None
StripNames = Mapping[tuple[str, str], Sequence[str]]


class RunFolder:
    """Sole writer of a run folder; ``RunFolder.open`` makes one.

    Attributes:
        files: where everything lies in the folder.
        resumed: True if the folder held an earlier part of this run.
    """

    def __init__(
        self, path: Path, *, resumed: bool, lock: TextIO | None, trackers: Trackers
    ) -> None:
        self.files = Layout(path)
        self._trackers = trackers
        self.resumed = resumed
        self._lock = lock
        self._metrics = files.RecordFile(self.files.metrics)
        self._quarantine = files.RecordFile(self.files.quarantine)
        known = files.read_records(self.files.quarantine)
        self._quarantined = {(row["id"], row["reason"]) for row in known}

    @classmethod
    def open(
        cls, recipe: BaseModel, folder: Path, *, data_hashes: Mapping[str, str] | None = None
    ) -> RunFolder:
        """Start a run in a new or empty folder, or resume the same recipe's run.

        Settings that change no result may differ: where the folder is, how many
        checkpoints it keeps, how much may fail before the run stops.

        Raises:
            UsageError: the folder holds another recipe's run or something else, one of its
                inputs has changed, or another process is writing to it. Nothing is
                overwritten.
        """
        resolved, layout = recipe.model_dump(mode="json"), Layout(folder)
        resumed = _holds_same_run(layout, resolved)
        starts = layout.read_starts()
        if resumed and starts:
            _require_same_inputs(folder, starts[0]["data"], data_hashes or {})
        folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as opened:
            if lock := _lock(layout):
                opened.enter_context(lock)
            if not resumed:
                text = yaml.safe_dump(resolved, sort_keys=False, allow_unicode=True)
                files.atomic_text(layout.recipe, text)
            starts.append(describe_environment(data_hashes or {}))
            noted = json.dumps({"starts": starts}, indent=1, ensure_ascii=False)
            files.atomic_text(layout.environment, noted)
            run = resolved.get("run")
            names = run.get("trackers", []) if isinstance(run, dict) else []
            trackers = Trackers(names, folder, resolved)
            opened.pop_all()  # closed by the folder from here on
        return cls(folder, resumed=resumed, lock=lock, trackers=trackers)

    def log(self, step: int, **metrics: Any) -> None:
        """Append numbers (Python, numpy or 0-d tensors) to ``metrics.jsonl``.

        NaN and infinity become null and are named under ``nonfinite``, so that a diverged
        run can still be read by any JSON reader and still shows that it diverged.
        """
        if taken := [name for name in _RESERVED if name in metrics]:
            raise ValueError(f"metric names {taken} are taken by the record itself")
        plain, odd = files.split_nonfinite({name: _plain(value) for name, value in metrics.items()})
        record = {"step": step, "time": round(time.time(), 3), **plain}
        self.require_unmoved()
        self._metrics.append(record | ({"nonfinite": odd} if odd else {}))
        self._trackers.log(step, plain)

    def rollouts(
        self,
        step: int,
        groups: Sequence[Group],
        advantages: Sequence[Advantages],
        strips: StripNames | None = None,
    ) -> None:
        """Write every rollout of a step, twins included, to ``rollouts/step-N.jsonl``.

        Args:
            groups: graded groups; a twin is recorded after its group.
            advantages: per group (G,), NaN for a rollout that has none; None for a group
                that was dropped. Twins have none.
            strips: file names from ``strip`` by (example id, view name), one per medium.
        """
        self.require_unmoved()
        rows: list[dict[str, Any]] = []
        for number, (group, values) in enumerate(zip(groups, advantages, strict=True)):
            rows += _rows(group, step, number, values, strips or {})
            if group.twin is not None:
                rows += _rows(group.twin, step, number, None, strips or {})
        lines = (json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
        target = self.files.rollouts(step)
        target.parent.mkdir(exist_ok=True)
        files.atomic_text(target, "".join(lines))

    def strip(self, clip: Clip, view: View, frames: int = 8) -> str:
        """Keep up to ``frames`` evenly chosen frames side by side as one small JPEG.

        Args:
            clip: what the model was shown, that is after ``view`` was applied.

        Returns:
            The file's name inside ``strips/``; equal pictures share one file.
        """
        data = _strip_jpeg(clip.frames, frames)
        name = f"{view.name}-{files.digest(data, 10)}.jpg"
        target = self.files.strips / name
        if not target.exists():
            target.parent.mkdir(exist_ok=True)
            files.atomic_bytes(target, data)
        return name

    def quarantine(self, example_id: str, reason: str, detail: str = "") -> None:
        """Record that an example was left out; the same one and reason only once."""
        if (example_id, reason) not in self._quarantined:
            self.require_unmoved()
            self._quarantined.add((example_id, reason))
            self._quarantine.append({"id": example_id, "reason": reason, "detail": detail})

    def truncate_to(self, step: int) -> None:
        """Delete what was logged after ``step``, the checkpoint that the run resumes from.

        That is metrics, rollouts and evaluations named ``eval/step-N.jsonl``. A warning
        names the first step up to ``step`` whose metrics are gone.
        """
        self.require_unmoved()
        self._metrics.close()
        files.filter_records(self._metrics.path, lambda record: record["step"] <= step)
        self._metrics = files.RecordFile(self._metrics.path)
        logged = {record["step"] for record in files.read_records(self._metrics.path)}
        if lost := next((s for s in range(1, step + 1) if s not in logged), None):
            log.warning("%s has lost lines: none for step %d", self._metrics.path, lost)
        for folder in (self.files.rollouts(0).parent, self.files.evaluation(0).parent):
            for written, path in steps_in(folder).items():
                if written > step:
                    path.unlink()

    def require_unmoved(self) -> None:
        """Check that the folder still lies where it was opened.

        Raises:
            KinogradError: it was moved, replaced or deleted while the run went on.
        """
        if self._lock is None:
            return
        ours = os.fstat(self._lock.fileno())
        try:
            there = self.files.lock.stat()
        except FileNotFoundError:
            there = None
        if there is None or not os.path.samestat(ours, there):
            raise KinogradError(
                f"{self.files.root} was moved, replaced or deleted while the run was writing "
                "to it; move it back, or set run.dir to where it is, and run the command again"
            )

    def close(self) -> None:
        """Close the files and release the lock."""
        self._trackers.close()
        self._metrics.close()
        self._quarantine.close()
        if self._lock is not None:
            self._lock.close()

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _holds_same_run(layout: Layout, resolved: dict[str, Any]) -> bool:
    """Return False for a new or empty folder, True for this recipe's.

    Raises:
        UsageError: it holds anything else.
    """
    folder = layout.root
    if not folder.exists():
        return False
    if not folder.is_dir():
        raise UsageError(f"{folder} is a file; set run.dir to a folder")
    names = {p.name for p in folder.iterdir()}
    if layout.recipe.name not in names:
        if all(_BEFORE_THE_RECIPE.fullmatch(name) for name in names):  # killed before that
            return False
        raise UsageError(
            f"{folder} exists and is not a run folder (it has no recipe.yaml); "
            "set run.dir to a new or empty folder"
        )
    try:
        before = yaml.safe_load(layout.recipe.read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError) as error:  # not UTF-8, or a value of no type
        reason = " ".join(str(error).split())
        raise UsageError(f"{layout.recipe} cannot be read: {reason}; it is damaged") from None
    changed = [
        f"  {key}: {_brief(old)} there, {_brief(new)} now"
        for key, old, new in _differences(before, resolved)
        if key not in _MAY_DIFFER
    ]
    if changed:
        raise UsageError(
            f"{folder} holds a run of another recipe:\n" + "\n".join(changed) + "\n"
            "To resume that run, give the recipe it was started with "
            f"({layout.recipe}); to start a new one, set run.dir to a new folder"
        )
    return True


def _require_same_inputs(folder: Path, before: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Compare the digests of inputs with those of the run's first start.

    Raises:
        UsageError: an input has changed.
    """
    if changed := [name for name in now if before.get(name, now[name]) != now[name]]:
        raise UsageError(
            f"{', '.join(changed)}: not what it was when the run in {folder} began; "
            "put it back, or set run.dir to a new folder"
        )


def _differences(before: Any, now: Any, key: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Dotted keys whose values differ, with both values; an absent one is ``<absent>``."""
    if isinstance(before, dict) and isinstance(now, dict):
        for name in dict.fromkeys([*before, *now]):
            inner = f"{key}.{name}" if key else str(name)
            yield from _differences(before.get(name, "<absent>"), now.get(name, "<absent>"), inner)
    elif before != now:
        yield key, before, now


def _brief(value: Any) -> str:
    text = value if value == "<absent>" else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."


def _lock(layout: Layout) -> TextIO | None:
    """Lock the folder for this process, or return None where the file system has no locks.

    The system releases the lock when the process ends or dies.

    Raises:
        UsageError: another process holds it.
    """
    folder = layout.root
    # a POSIX record lock, not flock: decoder workers that outlive a killed parent must
    # not keep it
    stream = layout.lock.open("w")
    try:
        fcntl.lockf(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        stream.close()
        if error.errno in (errno.EACCES, errno.EAGAIN):
            raise UsageError(
                f"another process is writing to {folder}; wait for it, end it, or set "
                "run.dir to another folder"
            ) from None
        log.warning(
            "%s: this file system has no locks (%s); start no second run here", folder, error
        )
        return None
    return stream


def _rows(
    group: Group, step: int, number: int, advantages: Advantages, strips: StripNames
) -> Iterator[dict[str, Any]]:
    example, view = group.example, group.view.name
    values = [math.nan] * len(group.rollouts) if advantages is None else advantages
    graded = zip(group.rollouts, group.scores, values, strict=True)
    for index, (rollout, score, advantage) in enumerate(graded):
        numbers = files.split_nonfinite({"value": score.value, "advantage": float(advantage)})[0]
        yield {
            "step": step,
            "group": number,
            "view": view,
            "rollout": index,
            "id": example.id,
            "kind": example.kind.value,
            "source": example.source,
            "question": example.question,
            "options": list(example.options),
            "gold": example.answer,
            "text": rollout.text,
            "parts": files.split_nonfinite({k: float(v) for k, v in score.parts.items()})[0],
            "unscored": score.unscored and score.unscored.value,
            "correct": score.correct,
            "detail": score.detail,
            "length": len(rollout.token_ids),
            "stop": rollout.stop.value,
            "strips": list(strips.get((example.id, view), ())),
            **numbers,
        }


def _plain(value: Any) -> bool | int | float | str | None:
    """Convert a Python, numpy or 0-d tensor scalar to a Python one."""
    value = value.item() if hasattr(value, "item") else value
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"a metric must be a number, not {type(value).__name__}")


def _strip_jpeg(frames: np.ndarray, wanted: int) -> bytes:
    """JPEG of up to ``wanted`` of the frames (T, C, H, W), evenly spaced, left to right."""
    from PIL import Image

    count, _, height, width = frames.shape
    chosen = np.unique(np.linspace(0, count - 1, min(wanted, count)).round().astype(int))
    scale = min(1.0, _STRIP_HEIGHT / height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    row = Image.new("RGB", (len(chosen) * (size[0] + _STRIP_GAP) - _STRIP_GAP, size[1]), "white")
    for place, frame in enumerate(frames[chosen].transpose(0, 2, 3, 1)):
        small = Image.fromarray(frame).resize(size, Image.Resampling.BOX)
        row.paste(small, (place * (size[0] + _STRIP_GAP), 0))
    stream = io.BytesIO()
    row.save(stream, "JPEG", quality=_STRIP_QUALITY)
    return stream.getvalue()
