"""``kinograd data proxy TASK``: questions whose answers follow from how clips are cut."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from kinograd.commands.data.annotate import show_cost
from kinograd.commands.data.results import raise_unrendered, show
from kinograd.commands.settings import Out, describe, read_words
from kinograd.curate.render_clips import write_clips
from kinograd.curate.selection import refuse_overwrite
from kinograd.proxy.produce import produce
from kinograd.proxy.task import ProxyTask
from kinograd.proxy.tasks import TASKS
from kinograd.types import KinogradError

app = typer.Typer(no_args_is_help=True, help="Build proxy tasks from annotated or raw videos.")

Inputs = Annotated[
    list[str],
    typer.Argument(
        metavar="IN... [KEY=VALUE...]",
        help="Data files, or folders of raw clips; settings, listed above.",
    ),
]


def _verb(task: type[ProxyTask]) -> Callable[..., None]:
    def run(words: Inputs, out: Out) -> None:
        inputs, settings = read_words(words, task, most=None)
        run_task(settings, [Path(path) for path in inputs], out)

    return run


for _name, _task in TASKS.items():
    app.command(_name, help=f"{_task.about}\n\n{describe(_task)}")(_verb(_task))


def run_task(task: ProxyTask, inputs: list[Path], out: Path) -> None:
    """Build the rows of a task, print what came of it, and render the clips if asked to.

    Raises:
        KinogradError: no row could be built, or a clip could not be rendered.
    """
    refuse_overwrite(out, *inputs)
    product = produce(task, inputs, out)
    show(out, product.outcome)
    for file, count in product.files.items():
        print(f"{file}: {count} rows")
    if product.teacher is not None:
        show_cost(product.teacher, out)
    if not product.rows:
        raise KinogradError(f"no row could be built; {out} is empty, the reasons are listed above")
    if task.render is not None:
        raise_unrendered(write_clips(product.rows, Path(task.render), product.media_root)[1])
