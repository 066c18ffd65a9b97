"""The command line: status codes, one clear line, nothing heavy imported."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import kinograd
from kinograd import cli
from kinograd.commands import VERBS
from kinograd.types import DataError, UsageError

RECIPE = """\
method: rl
run: {dir: runs/x}
model: {path: m}
data: {train: [a.jsonl]}
rl: {steps: 3}
"""

Verb = Callable[[Callable[[], None]], None]


@pytest.fixture
def verb(monkeypatch: pytest.MonkeyPatch) -> Verb:
    """Put a function in the place of ``kinograd doctor``."""

    def put(function: Callable[[], None]) -> None:
        monkeypatch.setattr("kinograd.commands.doctor.run", function)

    return put


def test_help_lists_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in VERBS)


@pytest.mark.parametrize("name", list(VERBS))
def test_every_verb_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([name, "--help"]) == 0
    assert f"kinograd {name}" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == kinograd.__version__


def test_help_imports_no_verb() -> None:
    code = (
        "import sys; from kinograd.cli import main; main(['--help']);"
        "print([m for m in sys.modules if m.startswith('kinograd.commands.')], file=sys.stderr)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stderr.strip() == "[]"


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["docter"], "Did you mean 'doctor'?"),
        (["config", "shw"], "Did you mean 'show'?"),
        (["config", "show"], "Missing argument"),
        (["--colour"], "No such option"),
        (["config", "show", "none.yaml"], "none.yaml: no such recipe file"),
        (["config", "schema", "sfft"], "did you mean 'sft'?"),
    ],
)
def test_wrong_usage_is_status_2(
    words: list[str], hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(words) == 2
    shown = capsys.readouterr()
    assert hint in " ".join(shown.err.split())
    assert "Traceback" not in shown.err


def test_recipe_shown_is_resolved(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(RECIPE)
    assert cli.main(["config", "show", str(path), "optim.lr=3e-6"]) == 0
    shown = capsys.readouterr().out
    assert "lr: 3.0e-06" in shown
    assert "group_size: 8" in shown


def test_an_unknown_key_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(RECIPE + "optm: {lr: 1}\n")
    assert cli.main(["config", "show", str(path)]) == 2
    assert capsys.readouterr().err == (
        f"kinograd: {path}: optm: unknown key; did you mean 'optim'?\n"
    )


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (DataError("a.jsonl:3: no answer"), 1, "kinograd: a.jsonl:3: no answer\n"),
        (UsageError("runs/x exists"), 2, "kinograd: runs/x exists\n"),
        (
            FileNotFoundError(errno.ENOENT, "No such file or directory", "a.mp4"),
            1,
            "kinograd: a.mp4: No such file or directory\n",
        ),
        (
            OSError(errno.ENOSPC, "No space left on device", "runs/x/model.safetensors"),
            1,
            "kinograd: runs/x/model.safetensors: No space left on device; "
            "make room and run the same command again\n",
        ),
    ],
)
def test_errors_are_one_line(
    verb: Verb, error: Exception, status: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise error

    verb(fail)
    assert cli.main(["doctor"]) == status
    assert capsys.readouterr().err == line
    with pytest.raises(type(error)):
        cli.main(["doctor", "--debug"])


def test_a_bug_keeps_its_traceback(verb: Verb) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    verb(fail)
    with pytest.raises(ZeroDivisionError):
        cli.main(["doctor"])


def test_interrupt_says_how_to_resume(tmp_path: Path) -> None:
    """A real SIGINT to a real process, sent once the verb runs."""
    flag = tmp_path / "running"
    code = f"""
import pathlib, signal, sys, time
import kinograd.commands.doctor as doctor
from kinograd.cli import main
# a child of a background shell would ignore SIGINT
signal.signal(signal.SIGINT, signal.default_int_handler)
def run() -> None:
    pathlib.Path({str(flag)!r}).touch()
    time.sleep(60)
doctor.run = run
sys.exit(main(["doctor"]))
"""
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    while not flag.exists() and process.poll() is None:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == 130
    assert said == "interrupted; run the same command again to continue\n"


def test_an_impatient_interrupt_ends_the_process_without_a_traceback(tmp_path: Path) -> None:
    """SIGINT while the verb cleans up, and again while the interpreter ends."""
    code = f"""
import pathlib, signal, sys, threading, time
import kinograd.commands.doctor as doctor
from kinograd.cli import main
signal.signal(signal.SIGINT, signal.default_int_handler)
def run() -> None:
    try:
        pathlib.Path({str(tmp_path / "1")!r}).touch()
        time.sleep(60)
    finally:
        pathlib.Path({str(tmp_path / "2")!r}).touch()
        time.sleep(60)
def linger() -> None:
    threading.main_thread().join()
    pathlib.Path({str(tmp_path / "3")!r}).touch()
    time.sleep(60)
threading.Thread(target=linger).start()
doctor.run = run
sys.exit(main(["doctor"]))
"""
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    for place in "123":
        while not (tmp_path / place).exists() and process.poll() is None:
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == -signal.SIGINT
    assert said == "interrupted; run the same command again to continue\n"
