from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[3] / "benchmarks" / "rewards.py"


@pytest.mark.slow
def test_published_modes_agree_with_the_published_formulas(tmp_path: Path) -> None:
    """10,000 pairs; and every difference of the default mode has a known reason."""
    out = tmp_path / "rewards.json"
    command = [sys.executable, str(SCRIPT), "--pairs", "10000", "--seconds", "0", "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    result = json.loads(out.read_text())
    assert result["pairs"] == 10_000
    assert result["published_agreement"] == 1.0
    assert result["unexplained"] == 0
    assert len(result["default_differs"]) >= 15
