"""The doctor finds what is broken and names a command."""

from __future__ import annotations

from pathlib import Path

import pytest

from kinograd import cli
from kinograd.commands import doctor
from kinograd.commands.doctor import State


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Install a small module, with metadata, on this and child processes' paths."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")

    def put(name: str, source: str, version: str = "1.0", requires: tuple[str, ...] = ()) -> None:
        (tmp_path / f"{name}.py").write_text(source)
        info = tmp_path / f"{name}-{version}.dist-info"
        info.mkdir()
        lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
        (info / "METADATA").write_text("\n".join(lines + [f"Requires-Dist: {r}" for r in requires]))

    return put


def test_a_wheel_that_cannot_be_imported_is_to_be_removed(package) -> None:
    package("torchaudio", "raise OSError('libcudart.so.13: cannot open shared object file')")
    package("torchcodec", "", version="0.17.0")
    checks = {c.name: c for c in doctor._bystanders(["torchaudio", "torchcodec"])}
    assert checks["torchaudio"].state is State.BROKEN
    assert "libcudart.so.13" in checks["torchaudio"].detail
    assert checks["torchaudio"].fix == "pip uninstall torchaudio"
    assert checks["torchcodec"].state is State.OK
    assert checks["torchcodec"].detail == "0.17.0"


def test_a_wheel_that_crashes_the_interpreter_is_broken(package) -> None:
    package("torchaudio", "import os; os.abort()")
    (check,) = doctor._bystanders(["torchaudio"])
    assert check.state is State.BROKEN


def test_requirements_are_compared_with_what_is_installed(package) -> None:
    needs = ("numpy>=1", "numpy<1", "there-is-no-such-package>=2", "pytest>=1; extra == 'dev'")
    package("kinograd", "", version="0.0.1", requires=needs)
    states = [(c.name, c.state, c.fix) for c in doctor._requirements()]
    assert states == [
        ("numpy", State.OK, ""),
        ("numpy", State.BROKEN, "pip install 'numpy<1'"),
        (
            "there-is-no-such-package",
            State.BROKEN,
            "pip install 'there-is-no-such-package>=2'",
        ),
    ]


def test_status_says_whether_anything_is_broken(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fine = doctor.Check("codecs", State.OK, "h264")
    monkeypatch.setattr(doctor, "diagnose", lambda: [fine])
    assert cli.main(["doctor"]) == 0
    broken = doctor.Check("disk", State.BROKEN, "1 GiB free", "make room")
    monkeypatch.setattr(doctor, "diagnose", lambda: [fine, broken])
    assert cli.main(["doctor"]) == 1
    shown = capsys.readouterr().out
    assert "-> make room" in shown
    assert "1 broken" in shown


def test_this_installation_decodes_what_it_must() -> None:
    assert doctor._codecs().state is State.OK
