"""CPU milliseconds per clip of the synthetic world: compose, draw, encode, by family.

python benchmarks/synthetic.py > benchmarks/results/synthetic.json
"""

from __future__ import annotations

import json
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from kinograd.config.synthetic import SyntheticConfig
from kinograd.synthetic.build import compose, render_clip
from kinograd.synthetic.families import FAMILIES
from kinograd.synthetic.mp4_writer import write_mp4

CLIPS = 200


def milliseconds(work: Callable[[int], object]) -> tuple[float, list]:
    begin = time.process_time()  # busy neighbours do not count
    results = [work(i) for i in range(CLIPS)]
    return 1000 * (time.process_time() - begin) / CLIPS, results


def measure(family: str, path: Path) -> dict[str, float]:
    world = SyntheticConfig(families=[family], splits={"train": CLIPS})
    compose_ms, rows = milliseconds(lambda i: compose(world, "train", i))
    draw_ms, clips = milliseconds(lambda i: render_clip(world, "train", i, rows[i][1], 0))
    encode_ms, _ = milliseconds(lambda i: write_mp4(path, clips[i]))
    parts = {"compose": compose_ms, "draw": draw_ms, "encode": encode_ms}
    return {k: round(v, 3) for k, v in (parts | {"clip": sum(parts.values())}).items()}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        figures = {name: measure(name, Path(folder) / "clip.mp4") for name in FAMILIES}
    world = {"frames": 16, "size": 56, "clips": CLIPS}
    print(json.dumps({"machine": platform.machine(), "world": world, "ms": figures}, indent=1))
