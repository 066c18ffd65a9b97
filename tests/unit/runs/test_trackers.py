"""Trackers get a copy of what the run folder holds; the real packages run in the slow tests."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kinograd.runs.trackers import Trackers
from kinograd.types import UsageError

SCRIPT = """
import sys
from pathlib import Path
from kinograd.runs.trackers import Trackers
for _ in range(2):  # a run, and the same run resumed
    trackers = Trackers([sys.argv[1]], Path(sys.argv[2]), {"name": "x"})
    trackers.log(1, {"loss": 0.5, "odd": None})
    trackers.close()
"""


def test_nothing_is_imported_for_no_tracker(tmp_path: Path) -> None:
    trackers = Trackers([], tmp_path, {})
    trackers.log(1, {"loss": 0.5})
    trackers.close()
    assert "wandb" not in sys.modules


def test_a_tracker_that_is_not_installed_is_named_with_its_remedy(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"pip install 'kinograd\[no_such_tracker\]'"):
        Trackers(["no_such_tracker"], tmp_path, {})


@pytest.mark.slow
@pytest.mark.parametrize("name", ["trackio", "wandb"])
def test_the_real_trackers_take_a_run_offline(name: str, tmp_path: Path) -> None:
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed: scripts/install.sh {name}")
    environment = os.environ | {"WANDB_MODE": "offline", "TRACKIO_DIR": str(tmp_path / "t")}
    environment |= {"WANDB_SILENT": "true", "PYTHONPATH": os.pathsep.join(sys.path)}
    folder = tmp_path / "run"
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, name, str(folder)],
        capture_output=True,
        text=True,
        env=environment,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    written = [p for p in tmp_path.rglob("*") if p.is_file() and p.suffix in (".db", ".wandb")]
    assert written
