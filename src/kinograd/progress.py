"""A progress bar with time to go, which prints sparse lines where there is no terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as RichProgress

_LINE_EVERY_S = 30.0
_LINES = 20


class Progress:
    """Where a loop has got to; ``advance`` moves it and shows a few figures beside it."""

    def __init__(self, total: int, description: str, done: int, stream: TextIO) -> None:
        self.total, self.description, self.done = total, description, done
        self._began, self._from = time.monotonic(), done
        self._stream = stream
        self._bar: RichProgress | None = None
        self._printed, self._printed_at = done, self._began
        if stream.isatty():
            self._bar = RichProgress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[shown]}"),
                console=Console(file=stream),
            )
            self._task = self._bar.add_task(description, total=total, completed=done, shown="")

    def advance(self, n: int = 1, **shown: float | str) -> None:
        """Count ``n`` more as done; ``shown`` are figures for the reader, such as loss."""
        self.done += n
        text = "  ".join(
            f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in shown.items()
        )
        if self._bar is not None:
            self._bar.update(self._task, completed=self.done, shown=text)
        elif self._line_due():
            self._print_line(text)

    def _line_due(self) -> bool:
        share = (self.done - self._printed) * _LINES >= self.total
        late = time.monotonic() - self._printed_at >= _LINE_EVERY_S
        return share or late or self.done >= self.total

    def _print_line(self, text: str) -> None:
        now = time.monotonic()
        each = (now - self._began) / max(1, self.done - self._from)
        left = each * max(0, self.total - self.done)
        line = (
            f"{self.description} {self.done}/{self.total}  {each:.3g} s each  {_clock(left)} left"
        )
        print(f"{line}  {text}".rstrip(), file=self._stream, flush=True)
        self._printed, self._printed_at = self.done, now


@contextmanager
def progress(
    total: int, description: str, *, done: int = 0, stream: TextIO | None = None
) -> Iterator[Progress]:
    """Show a loop of ``total`` turns, ``done`` of which a resumed run has behind it.

    On a terminal a bar; elsewhere (a log file, SLURM) about twenty lines in all, more when
    a turn takes long. Goes to standard error, so that results can be piped.
    """
    shown = Progress(total, description, done, stream or sys.stderr)
    if shown._bar is None:
        yield shown
    else:
        with shown._bar:
            yield shown


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
