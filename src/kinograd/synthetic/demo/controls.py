"""Compute-matched baselines of the demo's last stage, the stage on trial.

Time is CPU seconds of the training process, so that other load on the machine favours no
baseline. Numbers of steps follow from step times that this demo has measured.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from kinograd.config.load import merge
from kinograd.config.schema import DemoRecipe, EvalConfig
from kinograd.config.synthetic import DecodeControl, DemoControl, RftControl, SftControl
from kinograd.datasets.jsonl import read_examples, write_examples
from kinograd.datasets.sampler import batch_indices
from kinograd.eval.answers import graded_answers
from kinograd.grading.extract import think_span
from kinograd.policy import open_policy
from kinograd.progress import progress
from kinograd.rewards.score import score_groups
from kinograd.synthetic.demo.stage import evaluate, finished_steps, spent, stage_recipe, train
from kinograd.types import Example, Group

_BATCH = 64
"""Number of questions that are read and answered together."""


def run_control(recipe: DemoRecipe, name: str, control: DemoControl, start: Path) -> dict[str, Any]:
    """Train and evaluate one control; return the same figures as for a stage."""
    folder = Path(recipe.dir)
    if isinstance(control, DecodeControl):
        none = {"train_s": 0.0, "train_cpu_s": 0.0}
        return evaluate(recipe, name, start, control.bad_words) | none
    if isinstance(control, SftControl):
        steps = max(1, round(_trial_cpu_s(recipe) / _sft_step_cpu_s(recipe)))
        model = train(recipe, name, merge(control.sections, {"sft": {"steps": steps}}), start)
        return evaluate(recipe, name, model) | spent(folder, [name])
    return _rft(recipe, name, control, start)


def _rft(recipe: DemoRecipe, name: str, control: RftControl, model: Path) -> dict[str, Any]:
    """Run rejection-sampling fine-tuning in rounds (Yuan et al. 2023, arXiv 2308.01825).

    A round samples answers to some of the questions with the newest model, keeps the
    distinct right ones with their rationales, and trains on what this round kept.
    """
    folder = Path(recipe.dir)
    questions = read_examples(folder / "world" / control.questions)
    share = _trial_cpu_s(recipe) / control.rounds
    size = min(
        len(questions),
        max(1, round(control.sampling_fraction * share / _answer_cpu_s(recipe) / control.samples)),
    )
    steps = max(1, round((1 - control.sampling_fraction) * share / _sft_step_cpu_s(recipe)))
    rounds = [f"{name}-{i + 1}" for i in range(control.rounds)]
    for number, label in enumerate(rounds):
        rows = f"{label}.jsonl"
        sections = merge(control.sections, {"data": {"train": [rows]}, "sft": {"steps": steps}})
        if not (folder / "world" / rows).is_file():
            drawn = dict.fromkeys(batch_indices(number, size, len(questions), name))
            chosen = [questions[i] for i in drawn]
            groups = _sample(recipe, sections, chosen, model, control.samples, label)
            write_examples(folder / "world" / rows, _right_ones(groups))
        if (folder / "world" / rows).stat().st_size:  # else there is nothing to imitate
            model = train(recipe, label, sections, model)
    return evaluate(recipe, name, model) | spent(folder, rounds)


def _sample(
    recipe: DemoRecipe,
    sections: dict[str, Any],
    examples: list[Example],
    model: Path,
    samples: int,
    label: str,
) -> list[Group]:
    trial = _trial_recipe(recipe)
    stage = stage_recipe(recipe, label, sections, model)
    stage = stage.model_copy(update={"rollout": trial.rollout})
    sampling = trial.sampling.model_copy(update={"temperature": 1.0})
    config = EvalConfig(sampling=sampling, batch_size=_BATCH)
    grade = partial(score_groups, config=stage.reward, judges={})
    out: list[Group] = []
    with open_policy(stage) as policy, progress(len(examples), label) as bar:
        answers = graded_answers(
            policy.engine,
            policy.reader,
            examples,
            config,
            grade,
            n=samples,
            key=(stage.run.seed, label),
        )
        for group in answers:
            if isinstance(group, Group):  # an unreadable example gives no row
                out.append(group)
            bar.advance()
    return out


def _right_ones(groups: list[Group]) -> list[Example]:
    """Make one row per distinct right and well-formed answer, with its own rationale."""
    rows = []
    for group in groups:
        texts = {
            think_span(rollout.text) or "": None
            for rollout, score in zip(group.rollouts, group.scores, strict=True)
            if score.correct and score.parts.get("format") == 1.0
        }
        rows += [_with_rationale(group.example, t, n) for n, t in enumerate(filter(None, texts))]
    return rows


def _with_rationale(example: Example, rationale: str, number: int) -> Example:
    return replace(example, id=f"{example.id}-{number}", rationale=rationale.strip())


def _rows(recipe: DemoRecipe, place: int) -> list[dict[str, Any]]:
    return finished_steps(Path(recipe.dir) / list(recipe.stages)[place])


def _trial_recipe(recipe: DemoRecipe) -> Any:
    name = list(recipe.stages)[-1]
    return stage_recipe(recipe, name, recipe.stages[name], Path(recipe.dir))


def _trial_cpu_s(recipe: DemoRecipe) -> float:
    return sum(row["time/cpu_s"] for row in _rows(recipe, -1))


def _sft_step_cpu_s(recipe: DemoRecipe) -> float:
    """CPU seconds of a supervised step, as measured in the stage before the one on trial."""
    return median(row["time/cpu_s"] for row in _rows(recipe, -2))


def _answer_cpu_s(recipe: DemoRecipe) -> float:
    """CPU seconds of one sampled answer, as measured in the stage on trial."""
    rows = _rows(recipe, -1)
    return median(
        row["time/cpu_s"] * row["time/rollout_s"] / row["time/step_s"] / row["rollouts"]
        for row in rows
    )
