"""Rows and films on disk, and the verbs of ``data``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from kinograd.cli import build_app
from kinograd.keys import generator


class Shelf:
    """Rows, files of rows, films, and the command line."""

    @staticmethod
    def row(id: str, path: str = "a.mp4", **more: Any) -> dict[str, Any]:
        """A good row about one whole film, unless ``more`` says otherwise."""
        media = [{"type": "video", "path": path}]
        base = {"id": id, "kind": "free_form", "question": f"Why {id}?", "answer": "yes, he does"}
        return base | {"media": media, "source": "s"} | more

    @staticmethod
    def write(path: Path, rows: list[dict[str, Any] | str]) -> Path:
        """A file of rows; text stands as it is."""
        lines = (row if isinstance(row, str) else json.dumps(row) for row in rows)
        path.write_text("".join(f"{line}\n" for line in lines))
        return path

    @staticmethod
    def run(*arguments: object) -> tuple[int, str]:
        """Exit status and output of ``kinograd data`` with these arguments."""
        line = ["data", *map(str, arguments)]
        result = CliRunner().invoke(build_app(line), line)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, result.output

    @staticmethod
    def film(seed: int, frames: int = 12, size: int = 56) -> np.ndarray:
        """uint8 (T, H, W, 3): coloured boxes that move over a plain ground."""
        rng = generator("film", seed)
        out = np.empty((frames, size, size, 3), np.uint8)
        out[:] = rng.integers(40, 200, 3)
        for _ in range(5):
            x, y, step = *rng.integers(0, size - 16, 2), rng.integers(-2, 3)
            colour = rng.integers(0, 255, 3)
            for t in range(frames):
                left = int(np.clip(x + step * t, 0, size - 12))
                out[t, y : y + 12, left : left + 12] = colour
        return out


@pytest.fixture(scope="session")
def shelf() -> Shelf:
    return Shelf()
