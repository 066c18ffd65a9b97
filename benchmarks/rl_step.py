"""One RL step on video, shared prefix against replicated rows, in one process.

    python benchmarks/rl_step.py [--json benchmarks/results/rl_step.json] [--only main]

Same weights, same random patches, same completions for every way of doing it:

    video_r1          rows and pixels replicated G times, full logits (Video-R1's trainer)
    completion_head   the same rows, log-probs of completions only (TRL's memory saving)
    tower_once        vision tower once, prompts replicated
    kinograd          tower and prompt once, completions against their keys and values
    trl               TRL's GRPOTrainer on the image path (it trains blind on video)

The policy+reference step is a reference forward, a policy forward and backward (k3 KL, beta
0.04) and AdamW. Memory is the growth of the peak resident set during it. Models are random
Qwen2.5-VL ones: S (10M + 3M) and L (24M + 7M). Weights' gradients are compared on the main
point. Needs only Kinograd; `pip install trl==1.16.0` adds TRL's row.
"""

from __future__ import annotations

import argparse
import ctypes
import datetime
import gc
import importlib.util
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rl_step_rows import ROWS, grpo_loss, replicated_generate

from kinograd.algo.grpo import Grpo
from kinograd.algo.parts.loss import policy_loss
from kinograd.algo.parts.settings import KLConfig
from kinograd.config.rollout import InProcess, SamplingConfig
from kinograd.config.schema import ModelConfig, OptimConfig
from kinograd.models.load import VideoLM, frozen_copy, load
from kinograd.models.media import Patches
from kinograd.models.prefix import PrefixLM
from kinograd.models.prompt import Prompt
from kinograd.rollout.engine import Request
from kinograd.rollout.in_process import InProcessEngine
from kinograd.synthetic.tiny_model import make_tiny
from kinograd.train.batching import TrainCompletion, TrainItem
from kinograd.train.learner import Learner
from kinograd.types import ORDERED, Example, Kind, MediaType

BETA = 0.04
GRIDS = {256: (8, 8, 16), 1024: (8, 16, 32), 4096: (32, 16, 32)}  # t, h, w in patches
MAIN = ("L", 1024, 8, 192)
OTHERS = [
    ("S", 256, 8, 192),
    ("S", 1024, 8, 192),
    ("S", 4096, 8, 192),
    ("S", 1024, 4, 192),
    ("S", 1024, 16, 192),
    ("S", 1024, 8, 64),
    ("S", 1024, 8, 512),
]
TEXT = 40  # tokens of text around the clip
MICRO_ROWS = 4


class Endless(VideoLM):
    """A model that never ends its turn, so that every rollout has the same length."""

    @property
    def end_tokens(self) -> tuple[int, ...]:
        return ()


@dataclass
class Point:
    """One setting: V video tokens, G completions of C tokens, on a fresh random model."""

    size: str
    v: int
    g: int
    c: int

    def __post_init__(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            make_tiny(folder, self.size)
            loaded = load(ModelConfig(path=folder, train_vision=True, device="cpu"))
        self.model = Endless(loaded.lm, loaded.tokenizer, loaded.geometry, "")
        with torch.no_grad():
            generator = torch.Generator().manual_seed(0)
            for p in self.model.lm.parameters():
                if p.ndim == 1:
                    p.add_(0.02 * torch.randn(p.shape, generator=generator))
        rng = np.random.default_rng(0)
        family, grid = self.model.family, GRIDS[self.v]
        pixels = torch.from_numpy(
            rng.standard_normal((int(np.prod(grid)), 3 * 2 * 14 * 14), dtype=np.float32)
        )
        patches = Patches(MediaType.VIDEO, pixels, grid, 1.0)
        words = rng.integers(260, 380, TEXT).tolist()
        wrap = [family.vision_start, family.video_token, family.vision_end]
        ids = family.expand([*words[:8], *wrap, *words[8:]], [patches])
        is_media = ids == family.video_token
        self.prompt = Prompt(ids, family.positions(ids, [patches]), is_media, (patches,))
        self.completions = torch.from_numpy(rng.integers(260, 380, (self.g, self.c)))
        self.advantages = torch.from_numpy(rng.standard_normal(self.g)).float()
        self.reference: PrefixLM = frozen_copy(self.model.lm)

    def tasks(self) -> list[TrainItem]:
        weight = np.full(self.c, 1 / (self.g * self.c), np.float32)
        return [
            TrainItem(
                self.prompt,
                tuple(
                    TrainCompletion(row.numpy(), weight, np.full(self.c, float(a), np.float32))
                    for row, a in zip(self.completions, self.advantages, strict=True)
                ),
            )
        ]

    def learner(self) -> Learner:
        return Learner(
            self.model, OptimConfig(lr=1e-9, micro_tokens=MICRO_ROWS * self.c), total_steps=100
        )


# ------------------------------------------------------------------ measuring


def _status(key: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) / 1024
    raise KeyError(key)


def measure(work: Callable[[], Any]) -> dict[str, float]:
    """Seconds, and growth of the peak resident set in MB, of one call."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    before, start = _status("VmRSS"), time.perf_counter()
    work()
    seconds = time.perf_counter() - start
    return {"s": round(seconds, 3), "mb": round(_status("VmHWM") - before, 1)}


def row_step(point: Point, way: str, optimizer: torch.optim.Optimizer) -> float:
    """Policy+reference step on replicated rows."""
    logprobs_of = ROWS[way]
    with torch.no_grad():
        ref = logprobs_of(point.reference.model, point.prompt, point.completions)
    logprobs = logprobs_of(point.model.lm.model, point.prompt, point.completions)
    loss = grpo_loss(logprobs, ref, point.advantages, BETA)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return loss.item()


def shared_loss(point: Point, learner: Learner) -> float:
    """Gradients of the policy+reference step with the shared prefix."""
    tasks = point.tasks()
    (rows,) = learner.score(tasks, point.reference)
    referred = TrainItem(
        point.prompt,
        tuple(
            TrainCompletion(c.token_ids, c.weight, c.advantage, ref_logprobs=r)
            for c, r in zip(tasks[0].completions, rows, strict=True)
        ),
    )
    algo = Grpo(kl=KLConfig(beta=BETA))
    sums = learner.accumulate([referred], lambda b: policy_loss(b, algo))
    return sums["loss"]


def shared_step(point: Point, learner: Learner) -> float:
    loss = shared_loss(point, learner)
    learner.step()
    return loss


def step_costs(point: Point, ways: list[str]) -> dict[str, dict[str, float]]:
    """Each way's policy+reference step, after one warm-up on short completions."""
    out = {}
    for way in ways:
        if way == "kinograd":
            learner = point.learner()
            seen = point.model.lm.patches_seen + point.reference.patches_seen
            out[way] = measure(lambda learner=learner: shared_step(point, learner))
            now = point.model.lm.patches_seen + point.reference.patches_seen
            out[way]["patches"] = now - seen
        else:
            optimizer = torch.optim.AdamW(point.model.lm.parameters(), lr=1e-9)
            out[way] = measure(lambda w=way, o=optimizer: row_step(point, w, o))
            times = 2 if way == "tower_once" else 2 * point.g
            out[way]["patches"] = times * len(point.prompt.media[0].pixels)
        print(f"  {way:16} {out[way]}", flush=True)
    return out


def policy_memory(point: Point) -> float:
    """MB of the policy's forward and backward alone, at a fixed size of micro-batch.

    The weights' gradients lie ready before: they take as much whatever the group, but a group
    of one micro-batch would reach its peak before they are made.
    """
    learner, tasks = point.learner(), point.tasks()
    algo = Grpo()

    def work() -> None:
        learner.accumulate(tasks, lambda b: policy_loss(b, algo))

    work()
    point.model.lm.zero_grad(set_to_none=False)
    figures = measure(work)
    point.model.lm.zero_grad(set_to_none=True)
    return figures["mb"]


def gradient_gap(point: Point) -> float:
    """Relative distance of the shared-prefix gradient from that of replicated rows."""
    params = list(point.model.lm.parameters())
    with torch.no_grad():
        ref = ROWS["tower_once"](point.reference.model, point.prompt, point.completions)
    logprobs = ROWS["tower_once"](point.model.lm.model, point.prompt, point.completions)
    grpo_loss(logprobs, ref, point.advantages, BETA).backward()
    expected = [p.grad.clone() for p in params if p.grad is not None]
    point.model.lm.zero_grad(set_to_none=True)
    shared_loss(point, point.learner())
    got = [p.grad for p in params if p.grad is not None]
    gap = sum(((a - b).double() ** 2).sum() for a, b in zip(got, expected, strict=True))
    scale = sum((b.double() ** 2).sum() for b in expected)
    point.model.lm.zero_grad(set_to_none=True)
    return float((gap / scale).sqrt())


def rollout_costs(point: Point) -> dict[str, dict[str, float]]:
    """Sampling G completions of C tokens: transformers' generate, and the engine."""
    example = Example("bench", Kind.FREE_FORM, "?", "", ())
    request = Request(example, ORDERED, point.prompt, point.g)
    engine = InProcessEngine(point.model, InProcess())
    sampling = SamplingConfig(max_new_tokens=point.c)
    hf = point.model.lm.model
    return {
        "generate": measure(lambda: replicated_generate(hf, point.prompt, point.g, point.c)),
        "kinograd": measure(lambda: engine.generate([request], sampling, key=(0,))),
    }


def machine() -> str:
    cpu = next(
        line.split(":")[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    )
    threads, python = torch.get_num_threads(), platform.python_version()
    versions = f"torch {torch.__version__}, Python {python}"
    return f"{cpu}, {os.cpu_count()} cores, {threads} thread, {versions}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", choices=["main"], help="leave out the scaling table")
    options = parser.parse_args()
    torch.set_num_threads(1)
    load_before = os.getloadavg()[0]
    ways = ["video_r1", "completion_head", "tower_once", "kinograd"]

    point = Point(*MAIN)
    print("main point", MAIN, flush=True)
    costs = step_costs(point, ways)
    grad_gap = gradient_gap(point)
    rollouts = rollout_costs(point)
    print(f"  gradients differ by {grad_gap:.2g}; rollouts {rollouts}", flush=True)
    whole = {
        "video_r1": costs["video_r1"]["s"] + rollouts["generate"]["s"],
        "kinograd": costs["kinograd"]["s"] + rollouts["kinograd"]["s"],
    }
    trl = None
    if importlib.util.find_spec("trl") is not None:
        from rl_step_trl import trl_step_seconds

        trl = trl_step_seconds(*MAIN, beta=BETA)
        whole["trl"] = trl
        print(f"  TRL's step on as many image tokens: {trl:.1f} s", flush=True)

    memory = {g: policy_memory(Point("S", 1024, g, 192)) for g in (4, 16)}
    scaling = []
    for setting in [] if options.only else OTHERS:
        print("scaling", setting, flush=True)
        ways_here = ["video_r1", "kinograd"] if setting[1] < 4096 else ["tower_once", "kinograd"]
        scaling.append(
            dict(zip(["size", "V", "G", "C"], setting, strict=True))
            | {"ways": step_costs(Point(*setting), ways_here)}
        )

    ours, rows = costs["kinograd"], costs["video_r1"]
    ratios = {
        "policy_ref_speedup": rows["s"] / ours["s"],
        "memory_fraction": ours["mb"] / rows["mb"],
        "step_speedup_vs_video_r1": whole["video_r1"] / whole["kinograd"],
        "step_speedup_vs_trl": trl / whole["kinograd"] if trl else None,
        "rollout_speedup": rollouts["generate"]["s"] / rollouts["kinograd"]["s"],
        "grad_rel_fp32": grad_gap,
        "memory_g16_over_g4": memory[16] / memory[4],
    }
    result = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": machine(),
        "load": [round(load_before, 2), round(os.getloadavg()[0], 2)],
        "ratios": {k: None if v is None else float(f"{v:.4g}") for k, v in ratios.items()},
        "main": {
            "setting": MAIN,
            "policy_and_reference": costs,
            "rollout": rollouts,
            "whole_step_s": whole,
        },
        "policy_memory_mb_by_g": memory,
        "scaling": scaling,
    }
    text = json.dumps(result, indent=1)
    print(text)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
