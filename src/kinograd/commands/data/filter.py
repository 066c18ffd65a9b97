"""``kinograd data filter``: the rows that a policy can learn from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Annotated, Literal

import typer
from pydantic import Field

from kinograd.commands import read_recipe
from kinograd.commands.data.results import show
from kinograd.commands.settings import (
    Out,
    check_inputs,
    divide_settings,
    read_settings,
    split_words,
)
from kinograd.config.data_formats import DataFormat
from kinograd.config.schema import EvalRecipe
from kinograd.curate.filter import Rule, filter_rows
from kinograd.curate.journal import Journal, digest_of
from kinograd.curate.selection import refuse_overwrite
from kinograd.datasets.load import read_rows
from kinograd.eval.answers import graded_answers
from kinograd.judge import build_judges
from kinograd.models.reader import Unreadable
from kinograd.policy import open_policy
from kinograd.rewards.score import check_routing, score_groups
from kinograd.runs.digests import input_digests
from kinograd.section import Positive, Section
from kinograd.types import Example, Group


class Settings(Section):
    """Settings of ``data filter``."""

    samples: Positive = 5
    """Answers per row."""
    temperature: float = Field(default=1.0, ge=0.01)
    """Sampling temperature of the answers."""
    drop_right: bool = True
    """Drop rows whose answers are all right."""
    drop_wrong: bool = False
    """Drop rows whose answers are all wrong."""
    caption_spread: float = Field(default=0.2, ge=0)
    """Drop captions whose scores spread less than this."""
    spread: Literal["std", "variance"] = "std"
    """Measure of that spread."""
    format: DataFormat = "auto"
    """Format of the rows."""


def run(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="RECIPE... ROWS [KEY=VALUE...]",
            help="Recipe of kinograd eval (model, video, prompt, reward, judges, eval.sampling), "
            "rows to filter; settings, listed above, and overrides of the recipe.",
        ),
    ],
    out: Out,
) -> None:
    """Answer every row several times with a policy; keep the rows that it can learn from.

    Answers are journalled in OUT.journal: after an interruption the same command resumes, and
    other rules (drop_right, drop_wrong, caption_spread, spread) select from the same answers.
    """
    inputs, recipes, given = split_words(words)
    check_inputs(inputs, 1, 1)
    own, overrides = divide_settings(Settings, given, EvalRecipe)
    settings = read_settings(Settings, own)
    recipe: EvalRecipe = read_recipe([*recipes, *overrides], "eval")
    (source,) = inputs
    refuse_overwrite(out, source)
    sampling = recipe.eval.sampling.model_copy(update={"temperature": settings.temperature})
    asking = recipe.eval.model_copy(update={"sampling": sampling})
    rule = Rule(settings.drop_right, settings.drop_wrong, settings.caption_spread, settings.spread)
    judges = build_judges(recipe.judges)
    rows = partial(read_rows, source, settings.format)
    check_routing({r.kind for r in rows() if isinstance(r, Example)}, recipe.reward, judges)
    grade = partial(score_groups, config=recipe.reward, judges=judges)
    options = {
        **recipe.model_dump(mode="json", include={"video", "prompt", "reward", "judges", "model"}),
        "sampling": sampling.model_dump(mode="json"),
        "samples": settings.samples,
        "seed": recipe.run.seed,
    }
    with ExitStack() as opened:
        policy = opened.enter_context(open_policy(recipe))
        options["weights"] = input_digests([], policy.model.path)["model"]
        path, digest = out.with_name(f"{out.name}.journal"), digest_of([source], options)
        journal = opened.enter_context(Journal(path, digest))

        def sample(some: Sequence[Example]) -> Iterator[Group | Unreadable]:
            return graded_answers(
                policy.engine,
                policy.held_out_reader,
                some,
                asking,
                grade,
                n=settings.samples,
                key=(recipe.run.seed, "filter"),
            )

        show(out, filter_rows(rows, source, out, sample, rule, journal, asking.batch_size))
