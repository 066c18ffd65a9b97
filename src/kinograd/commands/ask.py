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
    question: Annotated[str, typer.Argument(help="What to ask.")],
    option: Annotated[
        list[str] | None, typer.Option(help="An option of a multiple-choice question; repeat.")
    ] = None,
    hide: Annotated[
        str | None,
        typer.Option(metavar="START-END", help="Show black between two seconds of the clip."),
    ] = None,
    max_new_tokens: Annotated[int, typer.Option(min=1)] = 768,
    temperature: Annotated[float, typer.Option(min=0)] = 0.0,
    seed: int = 0,
    device: str = "auto",
    dtype: Literal["float32", "bfloat16"] = "float32",
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
    """The clip with black in place of ``START-END`` seconds, as DarkEventInfer hides events."""
    try:
        start, end = (float(x) for x in span.split("-"))
    except ValueError:
        raise UsageError(f"--hide {span!r}: give two seconds such as 4.5-7") from None
    if not 0 <= start < end:
        raise UsageError(f"--hide {span!r}: need 0 <= START < END")
    before = (Span(str(video), 0.0, start),) if start > 0 else ()
    return Cut((*before, Black(end - start), Span(str(video), end)))
