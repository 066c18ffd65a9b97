"""``kinograd data proxy``: questions whose answers follow from how clips are cut."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from kinograd.curate.proxy import options as tasks
from kinograd.datasets.rows import RowResult
from kinograd.types import KinogradError, UsageError

if TYPE_CHECKING:
    from kinograd.curate.proxy.produce import Asking, Plan


app = typer.Typer(no_args_is_help=True, help="Build proxy tasks from annotated or raw videos.")


def common(
    input: Annotated[Path, typer.Option(help="Data file, or folder of raw clips.")],
    out: Annotated[Path, typer.Option(help="JSONL file to write.")],
    media_root: Annotated[
        Path | None, typer.Option(help="Folder under which media lie; of raw clips, theirs.")
    ] = None,
    format: Annotated[str, typer.Option(help="Format of the data file.")] = "auto",
    layout: Annotated[
        str | None, typer.Option(help="Where media of annotations lie, {subset}/{id}.mp4.")
    ] = None,
    seed: Annotated[int, typer.Option(help="What is drawn follows from it.")] = 0,
    test_fraction: Annotated[
        float | None, typer.Option(min=0, max=1, help="Share of source files held out.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that probe.")] = 1,
    backend: Annotated[str, typer.Option(help="local or ray.")] = "local",
    render: Annotated[Path | None, typer.Option(help="Also write each clip there.")] = None,
) -> None:
    """The options that all tasks share."""


def asked(
    teacher: Annotated[
        str | None, typer.Option(metavar="URL[,URL]", help="Writes and checks what is missing.")
    ] = None,
    model: Annotated[str, typer.Option(help="Name of the teacher's model.")] = "",
    inferable: Annotated[
        bool, typer.Option(help="Have the teacher check that hidden events can be inferred.")
    ] = True,
    setting: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="Such as teacher.price_in=0.4, samples=8."),
    ] = None,
) -> None:
    """The options of tasks that may ask a teacher."""


def _command(
    name: str, about: str, options: type[Any], *more: Callable[..., None]
) -> Callable[..., None]:
    """A function with the shared options and those of the task."""
    hints = get_type_hints(options, include_extras=True)
    own = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=field.default,
            annotation=Annotated[
                hints[field.name].__origin__, typer.Option(help=hints[field.name].__metadata__[0])
            ],
        )
        for field in fields(options)
    ]
    shared = [
        p.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for function in (common, *more)
        for p in inspect.signature(function, eval_str=True).parameters.values()
    ]
    names = {p.name for p in own}

    def run(**given: Any) -> None:
        chosen = options(**{key: given.pop(key) for key in names})
        _run(name, chosen, **given)

    run.__doc__ = about
    run.__signature__ = inspect.Signature([*shared, *own])  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in (*shared, *own)}
    return run


for _name, _options, _about, _more in (
    ("dark-event", tasks.DarkEvent, "An event is replaced by black: what happened?", (asked,)),
    ("mix-vid", tasks.MixVid, "Two clips take turns; a question about one of them.", (asked,)),
    ("jigsaw", tasks.Jigsaw, "Pieces in a random order: in which order did they happen?", ()),
    ("reversed", tasks.Reversed, "Is the clip shown forwards or backwards?", ()),
    ("removed", tasks.Removed, "A piece was taken out: where?", ()),
    ("needles", tasks.Needles, "Short pieces were put in: how many?", ()),
):
    app.command(_name)(_command(_name, _about, _options, *_more))


def _run(
    task: str,
    options: Any,
    *,
    input: Path,
    out: Path,
    media_root: Path | None,
    format: str,
    layout: str | None,
    seed: int,
    test_fraction: float | None,
    workers: int,
    backend: str,
    render: Path | None,
    **teaching: Any,
) -> None:
    from kinograd.commands.data.annotate import show_cost
    from kinograd.commands.data.results import raise_unrendered
    from kinograd.curate.proxy.produce import Plan, produce
    from kinograd.curate.render_clips import write_clips
    from kinograd.curate.selection import refuse_overwrite

    refuse_overwrite(out, input)
    root = media_root or (input if _is_raw(input) else Path("."))
    plan = Plan(task, options, str(root), seed, test_fraction, workers, backend)
    if _is_raw(input) and not teaching.get("teacher") and task in ("dark-event", "mix-vid"):
        raise UsageError(
            f"raw clips have no events or questions for {task}: give --teacher URL --model NAME, "
            "or a data file that holds them"
        )
    with ExitStack() as stack:
        asking = _asking(plan, out, stack, **teaching) if teaching.get("teacher") else None
        rows = list(produce(_read(input, root, format, layout), str(input), plan, asking))
        files = _write(out, rows)
    if asking is not None:
        show_cost(asking.teacher, asking.journal)
    if not any(files.values()):
        raise KinogradError(f"no row could be built; {out} is empty, the reasons stand above")
    if render is not None:
        shown = [r for some in files.values() for r in some]
        raise_unrendered(write_clips(shown, render, Path(root))[1])


def _read(input: Path, root: Path, format: str, layout: str | None) -> Iterator[RowResult]:
    from kinograd.curate.proxy.source_video import raw_clips
    from kinograd.datasets.load import read_rows

    return raw_clips(input, root) if _is_raw(input) else read_rows(input, format, layout)


def _is_raw(input: Path) -> bool:
    """Whether the input is a folder of clips, not of shards."""
    return input.is_dir() and not (input / "manifest.json").exists()


def _asking(
    plan: Plan,
    out: Path,
    stack: ExitStack,
    *,
    teacher: str,
    model: str,
    inferable: bool,
    setting: list[str] | None,
) -> Asking:
    from kinograd.config.load import load_section
    from kinograd.curate.journal import Journal, digest_of
    from kinograd.curate.proxy.produce import Asking
    from kinograd.curate.proxy.teacher_tools import AskingConfig, Crew
    from kinograd.endpoint.teacher import ASKED, Teacher
    from kinograd.judge import build_judges
    from kinograd.video.clip_store import ClipStore

    given = {"teacher": {"urls": [url.strip() for url in teacher.split(",")], "model": model}}
    config = load_section(AskingConfig, given, setting or ())
    digest = digest_of(
        [],
        {
            "task": plan.task,
            "inferable": inferable,
            "asking": config.model_dump(mode="json", include={"video", "judge", "samples"}),
            "teacher": config.teacher.model_dump(mode="json", include=ASKED),
        },
    )
    factor = config.video.spec().size_factor
    store = stack.enter_context(ClipStore(config.video, plan.media_root, factor))
    journal = stack.enter_context(Journal(out.with_name(f"{out.name}.journal"), digest))
    kept = out.with_name(f"{out.name}.shots.journal")
    shots = stack.enter_context(Journal(kept, digest_of([], {})))
    asked = Teacher(config.teacher)
    judge = build_judges({"judge": config.judge})["judge"]
    crew = Crew(asked.ask, store.get, judge, config.samples)
    return Asking(asked, crew, journal, shots, inferable)


def _write(out: Path, rows: list[RowResult]) -> Mapping[str, list[Any]]:
    """One file per split: ``out`` for train, ``out.SPLIT.jsonl`` for others; rows by split."""
    from kinograd.commands.data.results import show
    from kinograd.curate.selection import write_with_quarantine
    from kinograd.datasets.jsonl import write_examples
    from kinograd.datasets.rows import Rejected

    by_split: dict[str, list[Any]] = {"train": []}
    refused = [row for row in rows if isinstance(row, Rejected)]
    for row in rows:
        if not isinstance(row, Rejected):
            by_split.setdefault(row.split, []).append(row)
    show(out, write_with_quarantine(out, [*by_split["train"], *refused]))
    for split, some in by_split.items():
        if split != "train":
            file = out.with_name(f"{out.stem}.{split}.jsonl")
            print(f"{file}: {write_examples(file, some)} rows")
    return by_split
