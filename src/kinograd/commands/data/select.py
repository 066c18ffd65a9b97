"""``kinograd data filter`` and ``mix``: which rows, and how many of each file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from kinograd.commands import RecipeArguments, read_recipe
from kinograd.commands.data.teach import show
from kinograd.types import UsageError

if TYPE_CHECKING:
    from kinograd.config.schema import EvalRecipe
    from kinograd.models.reader import Unreadable
    from kinograd.types import Example, Group


def filter(
    recipe: RecipeArguments,
    out: Annotated[Path, typer.Option(help="JSONL file of the rows that are kept.")],
    input: Annotated[
        Path | None, typer.Option(help="Rows to filter; default: the one file of eval.data.")
    ] = None,
    samples: Annotated[int, typer.Option(min=1, help="Answers per row.")] = 5,
    temperature: Annotated[float, typer.Option(min=0.01, help="Of the sampling.")] = 1.0,
    drop_right: Annotated[
        bool, typer.Option("--drop-right/--keep-right", help="Rows that are always right.")
    ] = True,
    drop_wrong: Annotated[
        bool, typer.Option("--drop-wrong/--keep-wrong", help="Rows that are never right.")
    ] = False,
    caption_spread: Annotated[
        float, typer.Option(min=0, help="Drop captions whose scores spread less.")
    ] = 0.2,
    spread: Annotated[
        Literal["std", "variance"], typer.Option(help="How spread is measured.")
    ] = "std",
    format: Annotated[str, typer.Option(help="Format of the rows.")] = "auto",
) -> None:
    """Have a policy answer every row several times; keep the rows that it can learn from.

    RECIPE is one for ``kinograd eval``: model, video, prompt, reward, judges, eval.sampling.
    Answers are journalled in OUT.journal: the same command goes on after any interruption,
    and other rules select anew without asking again.
    """
    from kinograd.curate.filter import Rule, filter_rows
    from kinograd.curate.journal import Journal, digest_of
    from kinograd.curate.selection import apart
    from kinograd.datasets.formats import read_any
    from kinograd.eval.sampling import sample_groups
    from kinograd.judge import build_judges
    from kinograd.models.load import load
    from kinograd.models.reader import Reader
    from kinograd.rewards.score import check_routing
    from kinograd.rollout.in_process import InProcessEngine
    from kinograd.runs.digests import input_digests
    from kinograd.types import Example
    from kinograd.video.clip_store import ClipStore

    loaded: EvalRecipe = read_recipe(recipe, "eval")
    files = [str(input)] if input else loaded.eval.data
    if len(files) != 1:
        raise UsageError("data filter takes one file: give --input FILE")
    apart(out, *files)
    sampling = loaded.eval.sampling.model_copy(update={"temperature": temperature})
    rule = Rule(drop_right, drop_wrong, caption_spread, spread)
    judges = build_judges(loaded.judges)
    rows = partial(read_any, files[0], format)
    check_routing({r.kind for r in rows() if isinstance(r, Example)}, loaded.reward, judges)
    model = load(loaded.model)
    options = {
        **loaded.model_dump(mode="json", include={"video", "prompt", "reward", "judges", "model"}),
        "sampling": sampling.model_dump(mode="json"),
        "samples": samples,
        "seed": loaded.run.seed,
        "weights": input_digests([], model.path)["model"],
    }
    root = Path(loaded.eval.media_root or loaded.data.media_root)
    unit = model.geometry.patch * model.geometry.merge
    size, key, reward = loaded.eval.batch_size, (loaded.run.seed, "filter"), loaded.reward
    with (
        Journal(out.with_name(f"{out.name}.journal"), digest_of(files, options)) as journal,
        ClipStore(loaded.video, root, unit) as store,
    ):
        reader = Reader(model, store, loaded.prompt, loaded.run.seed)
        engine = InProcessEngine(model, loaded.rollout)

        def sample(some: Sequence[Example]) -> Iterator[Group | Unreadable]:
            return sample_groups(engine, reader, some, samples, sampling, reward, judges, key, size)

        show(out, filter_rows(rows, files[0], out, sample, rule, journal, size))


def mix(
    out: Annotated[Path, typer.Argument(help="JSONL file of the mix.")],
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE[=WEIGHT][@CAP]",
            help="a.jsonl=0.5 b.jsonl=0.3@2000; canonical, import others.",
        ),
    ],
    rows: Annotated[
        int | None,
        typer.Option(min=1, help="How many; default: as many as the weights allow."),
    ] = None,
    temperature: Annotated[
        float, typer.Option(help="Without weights: p ~ n^(1/T), 1 by size, larger more evenly.")
    ] = 1.0,
    seed: int = 0,
    repeat: Annotated[
        bool, typer.Option("--repeat", help="Go through a source again when it is used up.")
    ] = False,
    prefix: Annotated[
        bool, typer.Option("--prefix", help="Put the file's name before every id.")
    ] = False,
) -> None:
    """Mix files by weight, in an order that depends on the seed alone."""
    from kinograd.curate import mix as mixing

    chosen = [mixing.parse_source(text) for text in sources]
    parts = mixing.mix(
        chosen, out, rows=rows, temperature=temperature, seed=seed, repeat=repeat, prefix=prefix
    )
    total = sum(part.rows for part in parts)
    print(f"{out}: {total} rows")
    for part in parts:
        again = f", {part.rows / part.held:.2f} times each" if part.rows > part.held else ""
        print(f"  {part.rows / total:6.1%}  {part.rows} of {part.held}  {part.path}{again}")
