"""A progress bar with time to go, which prints sparse lines where there is no terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from rich import progress as rich_progress
from rich.console import Console

_LINE_EVERY_S = 30.0
_LINES = 20


class Progress:
    """Progress of a loop; ``advance`` moves it and shows a few figures beside it."""

    def __init__(self, total: int, description: str, done: int, stream: TextIO) -> None:
        self.total, self.description, self.done = total, description, done
        self._stream = stream
        self._began, self._from = time.monotonic(), done
        self._printed, self._printed_at = done, self._began

    def advance(self, n: int = 1, **shown: float | str) -> None:
        """Count ``n`` more as done; ``shown`` are figures for the reader, such as the loss."""
        self.done += n
        self._show("  ".join(f"{name} {_figure(value)}" for name, value in shown.items()))

    def _show(self, text: str) -> None:
        now = time.monotonic()
        due = (self.done - self._printed) * _LINES >= self.total
        if not (due or now - self._printed_at >= _LINE_EVERY_S or self.done >= self.total):
            return
        each = (now - self._began) / max(1, self.done - self._from)
        left = _clock(each * max(0, self.total - self.done))
        line = (
            f"{self.description} {self.done}/{self.total}  {each:.3g} s each, {left} left  {text}"
        )
        print(line.rstrip(), file=self._stream, flush=True)
        self._printed, self._printed_at = self.done, now


class _Bar(Progress):
    """Progress bar on a terminal."""

    def __init__(self, total: int, description: str, done: int, stream: TextIO) -> None:
        super().__init__(total, description, done, stream)
        self.bar = rich_progress.Progress(
            rich_progress.TextColumn("{task.description}"),
            rich_progress.BarColumn(),
            rich_progress.MofNCompleteColumn(),
            rich_progress.TimeElapsedColumn(),
            rich_progress.TimeRemainingColumn(),
            rich_progress.TextColumn("{task.fields[shown]}"),
            console=Console(file=stream),
        )
        self._task = self.bar.add_task(description, total=total, completed=done, shown="")

    def _show(self, text: str) -> None:
        self.bar.update(self._task, completed=self.done, shown=text)


@contextmanager
def progress(
    total: int, description: str, *, done: int = 0, stream: TextIO | None = None
) -> Iterator[Progress]:
    """Show a loop of ``total`` turns, ``done`` of which a resumed run has behind it.

    On a terminal a bar; elsewhere (a log file, SLURM) about twenty lines in all, more where
    a turn takes long. Goes to standard error, so that results can be piped.
    """
    target = sys.stderr if stream is None else stream
    if not target.isatty():
        yield Progress(total, description, done, target)
        return
    shown = _Bar(total, description, done, target)
    with shown.bar:
        yield shown


def _figure(value: float | str) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
