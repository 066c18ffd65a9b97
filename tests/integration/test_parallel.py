"""Two processes over gloo: what scale needs from the learner."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kinograd.synthetic.tiny_model import make_tiny

SCRIPT = Path(__file__).with_name("sharded_learner.py")


@pytest.mark.dist
@pytest.mark.parametrize("what", ["full", "lora"])
def test_sharded_gradients_are_those_of_the_whole_model(tmp_path, what):
    """One rank has one task, the other four: unequal work, equal gradients."""
    make_tiny(tmp_path, "0.8m", seed=3)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    command += ["--master-port", "0", "--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run(
        [*command, str(SCRIPT), str(tmp_path), what],
        capture_output=True,
        text=True,
        timeout=240,
        env=environment,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    result = json.loads(next(x for x in done.stdout.splitlines() if x.startswith("{")))
    assert result["missing"] == []
    assert result["gap"] < 1e-5
    assert result["norm"] == pytest.approx(result["whole_norm"], rel=1e-4)
