"""Twenty steps of both loops on a fixed model and fixed clips give the recorded figures.

Nothing here depends on what may rightly change: weights are numpy's, clips are stored
without loss and already have the model's size, words are listed below, and one thread
runs. What is left is the arithmetic of the learner.

Tolerance: matrix products add up in another order on another CPU. With torch and MKL held
to SSE4.2, as far from this machine's AVX-512 as CPUs get, the figures of these twenty steps
moved by 2e-5 (relative) at most, or by 2e-7 where they are near zero; no sampled token
changed. The bounds are ten times that. A wrong mask, normaliser or position moves them by
a percent or more.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from kinograd import files
from kinograd.keys import generator
from kinograd.synthetic.tiny_model import make_tiny
from kinograd.train.rl import train_rl
from kinograd.train.sft import train_sft

TOLERANCE = {"rtol": 2e-4, "atol": 2e-6}
WORDS = ["red", "green", "blue", "first", "last", "Which", "colour", "is", "?", "."]
FIGURES = ("loss", "reward/mean", "policy/loss", "policy/kl", "policy/entropy", "optim/grad_norm")


def write_clip(path: Path, frames: np.ndarray) -> None:
    """Frames (T, H, W, 3) without loss: what is decoded is what was drawn."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=8)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "bgr0"
        for frame in frames:
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            container.mux(stream.encode(picture.reformat(format="bgr0")))
        container.mux(stream.encode())


def fixed_model(folder: Path) -> None:
    """A tiny model whose weights depend on their names alone."""
    make_tiny(folder, "0.8m")
    file = folder / "model.safetensors"
    weights = {}
    for name, old in load_file(file).items():
        draw = generator("golden", name).standard_normal(tuple(old.shape))
        value = 1 + 0.1 * draw if "norm" in name else (0.06 if old.ndim > 1 else 0.02) * draw
        weights[name] = torch.from_numpy(value.astype(np.float32))
    save_file(weights, file, metadata={"format": "pt"})


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("golden")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kinograd.synthetic.tiny_model.synthetic_words", lambda: WORDS)
        fixed_model(folder / "model")
    rows = []
    for i in range(10):
        rng = generator("golden clip", i)
        frames = rng.integers(0, 256, (8, 56, 56 if i % 3 else 84, 3)).astype(np.uint8)
        write_clip(folder / f"{i}.mkv", frames)
        order = rng.permutation(["red", "green", "blue"]).tolist()
        row = {
            "id": str(i),
            "kind": "free_form",
            "question": "Which is first ?" if i % 2 else "Which colour is last ? . . .",
            "answer": order[0] if i % 2 else order[-1],
            "media": [{"type": "video", "path": f"{i}.mkv"}],
            "rationale": " ".join(order[: 1 + i % 3]),
        }
        rows.append(json.dumps(row) + "\n")
    (folder / "rows.jsonl").write_text("".join(rows))
    return folder


@pytest.fixture
def golden_run(recipe: Callable[..., Any], world: Path) -> Callable[..., Any]:
    """Train twenty steps; per step the figures that the arithmetic decides."""

    def run(method: str, *over: dict[str, Any]) -> list[dict[str, float]]:
        data = {"media_root": str(world), "train": [str(world / "rows.jsonl")]}
        model = {"path": str(world / "model"), "train_vision": True}
        shared = {"data": data, "model": model, "run": {"save_every": 20}, method: {"steps": 20}}
        config = recipe(method, shared, *over)
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            {"sft": train_sft, "rl": train_rl}[method](config)
        finally:
            torch.set_num_threads(threads)
        rows = files.read_records(Path(config.run.dir) / "metrics.jsonl")
        return [{k: row[k] for k in FIGURES if k in row} for row in rows]

    return run


def test_sft(golden_run: Callable[..., Any], golden: Callable[..., None]) -> None:
    figures = golden_run("sft", {"optim": {"lr": 1e-3, "micro_tokens": 120}})
    assert figures[0]["loss"] > 6  # nothing is known: log of about 650 tokens
    assert figures[-1]["loss"] < 0.75 * figures[0]["loss"]
    golden("losses/sft.json", figures, **TOLERANCE)


def test_rl(
    golden_run: Callable[..., Any], golden: Callable[..., None], varied: dict[str, Any]
) -> None:
    figures = golden_run(
        "rl",
        varied,
        {
            "optim": {"lr": 3e-5, "micro_tokens": 120},
            "algo": {"type": "t_grpo", "kl": {"beta": 0.05}, "minibatches": 2},
            "sampling": {"max_new_tokens": 8, "temperature": 0.8},
        },
    )
    golden("losses/rl.json", figures, **TOLERANCE)
