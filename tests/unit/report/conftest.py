"""Run folders as a run leaves them, made through the same writers, with fixed content."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from tests import builders
from tests.builders import video

from kinograd import files
from kinograd.config.schema import RlRecipe, SftRecipe
from kinograd.eval.metrics import EvalRecord
from kinograd.keys import generator
from kinograd.runs.folder import RunFolder
from kinograd.types import (
    ORDERED,
    Clip,
    Example,
    Group,
    Kind,
    Score,
    StopReason,
    Unscored,
    View,
    ViewKind,
)

FAMILIES = ("count", "last colour", "order", "static")
SHUFFLED = View(ViewKind.SHUFFLED)


def example(name: str, question: str = "Which ball leaves the box first?") -> Example:
    options = ("the red ball", "the blue ball", "both at once")
    return builders.example(
        name,
        Kind.MULTIPLE_CHOICE,
        question,
        "B",
        [video(f"{name}.mp4")],
        options,
        source="synthetic",
    )


def clip(name: str, frames: int = 16, size: int = 64) -> Clip:
    """A square that crosses a field, with a height and colour of its own."""
    pixels = np.full((frames, 3, size, size), 225, np.uint8)
    row, *colour = generator("clip", name).integers((8, 0, 0, 0), (size - 20, 160, 160, 160))
    for t in range(frames):
        left = 2 + t * (size - 16) // frames
        pixels[t, :, row : row + 12, left : left + 12] = np.array(colour)[:, None, None]
    return builders.clip(pixels)


def group(step: int, name: str, view: View = ORDERED, twin: Group | None = None) -> Group:
    """Eight rollouts (four for a twin) that get better with the step; a few unscored."""
    rng = generator("group", step, name, view.name)
    rollouts, scores = [], []
    for _ in range(8 if view is ORDERED else 4):
        right = rng.random() < (0.3 + step / 150 if view is ORDERED else 0.3)
        length = int(rng.integers(20, 90))
        cut = rng.random() < 0.1
        thought = "The red ball waits at the left. The blue one rolls out at once. " * (
            length // 30 + 1
        )
        text = f"<think>{thought}</think>\n<answer>{'B' if right else 'A'}</answer>"
        stop = StopReason.LENGTH if cut else StopReason.END
        text = text[: len(text) // 2] if cut else text
        rollouts.append(builders.rollout(text, length, stop))
        parts = {"accuracy": float(right), "format": 1.0}
        unscored = Score.none(Unscored.TRUNCATED, "no closing tag", format=0.0)
        scores.append(unscored if cut else Score(sum(parts.values()), parts, correct=right))
    return builders.group(rollouts, scores, of=example(name), view=view, twin=twin)


def standardised(values: np.ndarray) -> np.ndarray:
    return (values - np.nanmean(values)) / (np.nanstd(values) + 1e-4)


def evaluation(name: str, skill: float, videos: int = 25) -> list[EvalRecord]:
    """Answers to one question per family and video; order-blind where frames are shuffled."""
    rows: list[EvalRecord] = []
    for view in ("ordered", "shuffled", "reversed"):
        for i in range(videos):
            for family in FAMILIES:
                rng = generator("evaluation", name, view, i, family)
                gold = "ABC"[int(generator("gold", i, family).integers(3))]
                ability = skill if view == "ordered" or family == "static" else 0.3
                right = bool(rng.random() < ability)
                unscored = bool(rng.random() < 0.02)
                said = gold if right else "D"
                row = EvalRecord(
                    id=f"{family}-{i}",
                    view=view,
                    kind="multiple_choice",
                    source="synthetic",
                    family=family,
                    video=f"scene-{i}.mp4",
                    answer=gold,
                    prediction=None if unscored else said,
                    text=f"<think>…</think><answer>{said}</answer>",
                    value=None if unscored else float(right),
                    correct=right and not unscored,
                    unscored="parse" if unscored else None,
                    error=None,
                    length=int(rng.integers(30, 90)),
                    stop="end",
                )
                rows.append(row)
    return rows


def write_evaluation(folder: Path, name: str, rows: list[EvalRecord]) -> None:
    file = files.RecordFile(folder / "eval" / f"{name}.jsonl")
    for row in rows:
        file.append(row)
    file.close()


def fix_surroundings(folder: Path, day: int) -> None:
    """Replace what depends on this machine, moment and schema, for golden files to hold."""
    recipe = yaml.safe_load((folder / "recipe.yaml").read_text())
    kept = ("method", "name", "model", "algo", "judges", "sft", "rl")
    fixed = {key: recipe[key] for key in kept if key in recipe}
    fixed["eval"] = {"sampling": {"temperature": 0.0}}
    fixed["model"] = {"path": recipe["model"]["path"]}
    if "algo" in recipe:
        fixed["algo"] = {"type": recipe["algo"]["type"]}
    for method in ("sft", "rl"):
        if method in recipe:
            fixed[method] = {"steps": recipe[method]["steps"]}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(fixed, sort_keys=False))
    start = {
        "time": f"2026-03-{day:02}T09:00:00+00:00",
        "packages": {"kinograd": "0.1.0", "torch": "2.13.0", "transformers": "5.19.0"},
        "git": {"commit": "0123456789abcdef0123456789abcdef01234567", "dirty": False},
        "cpu": {"model": "A processor", "cores": 2, "threads": 2},
        "devices": [],
        "data": {"train.jsonl": "5f3c"},
    }
    (folder / "env.json").write_text(json.dumps({"starts": [start]}))
    rows = files.read_records(folder / "metrics.jsonl")
    rows = [row | {"time": 1_772_000_000.0 + 1.5 * row["step"]} for row in rows]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "metrics.jsonl").write_text(lines)


def make_sft(folder: Path, steps: int = 40) -> None:
    sections = {
        "name": "cold start",
        "run": {"dir": "runs/demo/sft"},
        "model": {"path": "runs/demo/tiny"},
        "data": {"train": ["train.jsonl"]},
        "sft": {"steps": steps},
    }
    recipe = SftRecipe.model_validate(sections)
    with RunFolder.open(recipe, folder) as run:
        for step in range(1, steps + 1):
            noise = float(generator("sft", step).normal(0, 0.05))
            figures: dict[str, float] = {
                "loss": 2.5 * math.exp(-step / 12) + 0.3 + noise,
                "optim/grad_norm": 3 * math.exp(-step / 20) + abs(noise),
                "optim/lr": 1e-3 * min(1.0, step / 5),
                "time/read_s": 0.02,
                "time/step_s": 0.6 + noise / 10,
            }
            run.log(step, **figures)
    write_evaluation(folder, f"step-{steps}", evaluation("sft", 0.55))
    fix_surroundings(folder, 1)


def make_rl(folder: Path, steps: int = 120) -> None:
    sections = {
        "name": "reinforcement",
        "run": {"dir": "runs/demo/rl"},
        "model": {"path": "runs/demo/sft"},
        "data": {"train": ["train.jsonl"]},
        "rl": {"steps": steps},
        "algo": {"type": "t_grpo"},
        "judges": {"events": {"type": "lexical"}},
    }
    recipe = RlRecipe.model_validate(sections)
    with RunFolder.open(recipe, folder) as run:
        for step in range(1, steps + 1):
            noise = generator("rl", step).normal(0, 1, 4)
            accuracy = 0.5 + 0.2 * step / steps + 0.06 * noise[0]
            figures: dict[str, Any] = {
                "reward/mean": accuracy + 0.95,
                "reward/accuracy": accuracy,
                "reward/format": 0.95 + 0.01 * noise[1],
                "length/mean": 60 + 5 * noise[2],
                "length/max": 110 + 5 * noise[2],
                "kl": 0.002 * step / steps,
                "entropy": 0.9 - 0.3 * step / steps + 0.02 * noise[3],
                "optim/grad_norm": float("nan") if step == 77 else 0.4 + 0.1 * abs(noise[3]),
                "time/rollout_s": 1.2 + 0.05 * noise[0],
                "time/update_s": 0.8,
                "time/score_s": 0.05,
            }
            if step % 40 == 0:
                figures["eval/accuracy"] = 0.55 + step / 1000
            run.log(step, **figures)
            if step % 30 == 0:
                keep_rollouts(run, step)
        run.quarantine("clip-17", "decode", "no video stream in clip-17.mp4")
    write_evaluation(folder, f"step-{steps}", evaluation("rl", 0.68))
    fix_surroundings(folder, 2)


def keep_rollouts(run: RunFolder, step: int) -> None:
    names = [f"scene-{step}-{i}" for i in range(3)]
    groups = [group(step, n, twin=group(step, n, SHUFFLED)) for n in names]
    strips = {}
    for n in names:
        shown = clip(n)
        mixed = builders.clip(shown.frames[::-3].repeat(3, 0)[:16])
        strips[n, "ordered"] = [run.strip(shown, ORDERED)]
        strips[n, "shuffled"] = [run.strip(mixed, SHUFFLED)]
    run.rollouts(step, groups, [standardised(g.values) for g in groups], strips)


EVIL = (
    "</script><script>document.title='owned'</script>"
    "<img src=x onerror=document.title='owned'>\u2028'\"&{{ 7 * 7 }}"
)


def taint_run(folder: Path) -> Path:
    """Put markup into every text of a run folder."""

    def taint(value: Any) -> Any:
        if isinstance(value, dict):
            return {EVIL if k == "format" else k: taint(v) for k, v in value.items()}
        if isinstance(value, list):
            return [taint(v) for v in value]
        return EVIL if isinstance(value, str) else value

    rl = folder / "rl"
    kept = ("view", "stop", "unscored", "id")
    for path in rl.rglob("*.jsonl"):
        rows = [taint(r) | {k: r[k] for k in kept if k in r} for r in files.read_records(path)]
        for row in rows:
            if "loss" in row or "kl" in row:
                row[f"{EVIL}/x"] = 1.0
                row["nonfinite"] = {EVIL: "nan"}
        path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    (rl / "recipe.yaml").write_text(
        json.dumps({"method": EVIL, "name": EVIL, "judges": {EVIL: {"type": "lexical"}}})
    )
    env = json.loads((rl / "env.json").read_text())
    (rl / "env.json").write_text(json.dumps(taint(env)))
    rl.rename(folder / "a<b>&'c")
    (folder / "summary.json").write_text(json.dumps({EVIL: EVIL}))
    return folder


@pytest.fixture(scope="session")
def _demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report") / "demo"
    make_sft(folder / "sft")
    make_rl(folder / "rl")
    (folder / "summary.json").write_text(json.dumps({"seconds": 412.5, "stages": ["sft", "rl"]}))
    return folder


@pytest.fixture
def make_demo(_demo: Path) -> Callable[[Path], Path]:
    """Writes a folder of two runs, a cold start and reinforcement, with evaluations."""

    def make(folder: Path) -> Path:
        return Path(shutil.copytree(_demo, folder))

    return make


@pytest.fixture
def make_evil(make_demo: Callable[[Path], Path]) -> Callable[[Path], tuple[Path, str]]:
    """Writes a demo folder whose texts all are one attack; returns both."""
    return lambda folder: (taint_run(make_demo(folder)), EVIL)
