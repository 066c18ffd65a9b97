"""``kinograd ask``: one question about one clip."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from kinograd.inference import load
from kinograd.types import Black, Cut, Span, UsageError


def run(
    checkpoint: Annotated[str, typer.Argument(help="Run folder, checkpoint or model folder.")],
    video: Annotated[Path, typer.Argument(help="Video or image file.")],
    question: Annotated[str, typer.Argument(help="Question about the clip.")],
    option: Annotated[
        list[str] | None, typer.Option(help="Option of a multiple-choice question; repeatable.")
    ] = None,
    hide: Annotated[
        str | None,
        typer.Option(
            metavar="START-END", help="Seconds of the clip to hide behind black, such as 4.5-7."
        ),
    ] = None,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Most tokens of the answer.")] = 768,
    temperature: Annotated[
        float, typer.Option(min=0, help="Sampling temperature; 0 takes the likeliest token.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(help="Seed of the sampling.")] = 0,
    device: Annotated[
        str, typer.Option(help="cpu, cuda, or auto: a GPU if there is one.")
    ] = "auto",
    dtype: Annotated[
        Literal["float32", "bfloat16"], typer.Option(help="Type to compute in.")
    ] = "float32",
) -> None:
    """Ask one question about one clip."""
    model = load(checkpoint, device=device, dtype=dtype)
    media = video if hide is None else hidden(video, hide)
    answer = model.ask(
        media,
        question,
        options=option or (),
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        seed=seed,
    )
    print(answer)
    if not answer.complete:
        typer.echo(f"(cut off after {max_new_tokens} tokens: --max-new-tokens)", err=True)


def hidden(video: Path, span: str) -> Cut:
    """Make the cut with black in place of ``START-END`` seconds, as in DarkEventInfer."""
    try:
        start, end = (float(x) for x in span.split("-"))
    except ValueError:
        raise UsageError(f"--hide {span!r}: give two seconds such as 4.5-7") from None
    if not 0 <= start < end:
        raise UsageError(f"--hide {span!r}: need 0 <= START < END")
    before = (Span(str(video), 0.0, start),) if start > 0 else ()
    return Cut((*before, Black(end - start), Span(str(video), end)))
