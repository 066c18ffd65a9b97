"""The test harness keeps its own promises: offline, strict about skips, golden files."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

CONFTEST = Path(__file__).resolve().parents[1] / "conftest.py"

Session = Callable[..., str]


@pytest.fixture
def session(tmp_path: Path) -> Session:
    """Run a test file under a copy of conftest.py and return what pytest printed."""
    folder = tmp_path / "checkout" / "tests"
    folder.mkdir(parents=True)
    shutil.copy(CONFTEST, folder)

    def run(source: str, *options: str, **environment: str) -> str:
        (folder / "test_it.py").write_text(source)
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("KINOGRAD_", "PYTEST_"))}
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", *options]
        done = subprocess.run(
            [*command, str(folder)],
            cwd=folder.parent,
            env=clean | environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout

    return run


SKIPS = """
import pytest
def test_here(): pytest.skip("no such program")
def test_device(): pytest.skip("no CUDA device [hardware]")
@pytest.mark.xfail(strict=True)
def test_known(): assert False
def test_clips(shared_videos): assert shared_videos
"""


def test_skips_fail_where_they_are_forbidden_unless_unavoidable(session: Session) -> None:
    assert "3 skipped, 1 xfailed" in session(SKIPS)
    strict = session(SKIPS, KINOGRAD_STRICT="1")
    assert "1 failed, 2 skipped, 1 xfailed" in strict
    assert "avoidable skip: Skipped: no such program" in strict


def test_a_module_that_skips_itself_fails_too(session: Session) -> None:
    source = "import pytest\npytest.importorskip('no_such_module')\ndef test(): pass\n"
    assert "1 skipped" in session(source)
    assert "1 error" in session(source, KINOGRAD_STRICT="1")


def test_the_network_is_out_of_reach_but_this_machine_is_not(session: Session) -> None:
    source = """
import socket
def test_local():
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname()).close()
def test_far():
    socket.create_connection(("192.0.2.1", 80), timeout=1)
"""
    said = session(source)
    assert "1 failed, 1 passed" in said
    assert "a test tried to reach the network: ('192.0.2.1', 80)" in said


def test_named_clips_must_exist(session: Session, tmp_path: Path) -> None:
    source = "def test(shared_videos): assert shared_videos.is_dir()\n"
    assert "1 passed" in session(source, KINOGRAD_TEST_VIDEOS=str(tmp_path))
    assert "1 error" in session(source, KINOGRAD_TEST_VIDEOS=str(tmp_path / "none"))


def test_golden_files_are_written_on_demand_and_then_held(session: Session) -> None:
    source = """
import pytest
@pytest.mark.parametrize("text, loss, step", {})
def test(golden, text, loss, step):
    golden("a/text.txt", text)
    golden("a/number.json", {{"loss": [1.0, loss], "step": step}}, rtol=1e-3)
"""
    first = source.format([("one", 2.0, 1)])
    assert "write it with pytest --update-golden" in session(first)
    assert "1 passed" in session(first, "--update-golden")
    others = [("one", 2.0001, 1), ("one", 2.1, 1), ("two", 2.0, 1), ("one", 2.0, 2)]
    assert "3 failed, 1 passed" in session(source.format(others))
