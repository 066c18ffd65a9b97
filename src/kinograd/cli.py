"""Command line: finds the verb, imports it, runs it, and turns errors into one line.

Exit status: 0 done, 1 failed, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import errno
import importlib
import inspect
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from keyword import iskeyword
from types import ModuleType
from typing import Annotated

import typer

from kinograd._version import __version__
from kinograd.commands import VERBS
from kinograd.types import KinogradError, UsageError

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = [w for w in words if w != "--debug"]
    try:
        build_app([w for w in words if not w.startswith("-")])(words, prog_name="kinograd")
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
        # one more Ctrl-C ends the process at once, without a traceback
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, signal.SIG_DFL)
        print("interrupted; run the same command again to continue", file=sys.stderr)
    return status


def _in_words(error: KinogradError | OSError) -> str:
    if isinstance(error, KinogradError) or error.strerror is None:
        return str(error)
    where = f"{error.filename}: " if error.filename is not None else ""
    hint = "; make room and run the same command again" if error.errno == errno.ENOSPC else ""
    return f"{where}{error.strerror}{hint}"


def build_app(words: Sequence[str]) -> typer.Typer:
    """Return all verbs by name, but only the chosen one imported: help must not wait for torch."""
    app = typer.Typer(
        no_args_is_help=True,
        add_completion=False,  # it would complete verbs, but not what is imported later
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    return add_verbs(app, "kinograd.commands", VERBS, words)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", is_eager=True, callback=_print_version
        ),
    ] = False,
    debug: Annotated[
        bool,
        typer.Option("--debug", help="Show tracebacks of errors; allowed anywhere on the line."),
    ] = False,
) -> None:
    """Post-train video language models to reason."""


def add_verbs(
    app: typer.Typer, package: str, verbs: Mapping[str, str], words: Sequence[str]
) -> typer.Typer:
    """Register ``verbs`` on ``app`` and import the module of the one that ``words`` name.

    A verb's module has sub-verbs as ``VERBS`` (a package of one module each) or as a typer
    ``app``, or else a function ``run``.

    Args:
        verbs: verb to its line of help; the module is ``package.verb`` (``import_`` for import).
        words: the command line without its options, from the verb on.

    Returns:
        ``app``.
    """
    chosen = next(iter(words), None)
    for name, line in verbs.items():
        if name != chosen:
            app.command(name, help=line)(_not_imported)
            continue
        module = importlib.import_module(f"{package}.{module_name(name)}")
        if hasattr(module, "VERBS"):
            inner = add_verbs(_group(), module.__name__, module.VERBS, words[1:])
            app.add_typer(inner, name=name, help=line)
        elif hasattr(module, "app"):
            app.add_typer(module.app, name=name, help=line)
        else:
            app.command(name, help=_help(module))(module.run)
    return app


def module_name(verb: str) -> str:
    """Return the file name of a verb's module.

    >>> module_name("import"), module_name("dark-event")
    ('import_', 'dark_event')
    """
    name = verb.replace("-", "_")
    return f"{name}_" if iskeyword(name) else name


def _group() -> typer.Typer:
    return typer.Typer(no_args_is_help=True)


def _help(module: ModuleType) -> str | None:
    """Return the docstring of ``run``, then the settings that it takes as KEY=VALUE."""
    text = inspect.getdoc(module.run)
    if not hasattr(module, "Settings"):
        return text
    from kinograd.commands.settings import describe

    return f"{text}\n\n{describe(module.Settings)}"


def _not_imported() -> None:
    raise AssertionError("the verb on the command line is always imported")
