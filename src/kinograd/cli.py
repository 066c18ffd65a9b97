"""The command line: finds the verb, imports it, runs it, and turns errors into one line.

Exit status: 0 done, 1 failed, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import errno
import importlib
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

import kinograd
from kinograd.commands import VERBS
from kinograd.types import KinogradError, UsageError

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = [w for w in words if w != "--debug"]
    verb = next((w for w in words if not w.startswith("-")), None)
    try:
        _app(verb)(words, prog_name="kinograd")
    except KeyboardInterrupt:
        status = INTERRUPTED
    except SystemExit as stop:  # how typer ends, also on Ctrl-C
        status = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except (KinogradError, OSError) as error:
        if debug:
            raise
        print(f"kinograd: {_in_words(error)}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    else:
        status = 0
    if status == INTERRUPTED:
        print("interrupted; run the same command again to continue", file=sys.stderr)
    return status


def _in_words(error: KinogradError | OSError) -> str:
    if isinstance(error, KinogradError) or error.strerror is None:
        return str(error)
    where = f"{error.filename}: " if error.filename is not None else ""
    hint = "; make room and run the same command again" if error.errno == errno.ENOSPC else ""
    return f"{where}{error.strerror}{hint}"


def _app(verb: str | None) -> typer.Typer:
    """All verbs by name, but only ``verb`` imported: help must not wait for torch."""
    app = typer.Typer(
        no_args_is_help=True,
        add_completion=False,  # it would complete verbs, but not what is imported later
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    for name, line in VERBS.items():
        if name != verb:
            app.command(name, help=line)(_not_imported)
            continue
        module = importlib.import_module(f"kinograd.commands.{name}")
        if hasattr(module, "app"):
            app.add_typer(module.app, name=name, help=line)
        else:
            app.command(name, help=line)(module.run)
    return app


def _print_version(wanted: bool) -> None:
    if wanted:
        print(kinograd.__version__)
        raise typer.Exit


def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", is_eager=True, callback=_print_version
        ),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show tracebacks of errors; goes anywhere.")
    ] = False,
) -> None:
    """Post-train video language models to reason."""


def _not_imported() -> None:
    raise AssertionError("the verb on the command line is always imported")
