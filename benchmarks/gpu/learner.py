"""The shared-prefix learner and engine on one GPU, at the size of Qwen2.5-VL 3B and 7B.

    PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True \
        python benchmarks/gpu/learner.py --json benchmarks/results/gpu_learner.json

Random weights of the published shapes, random patches: 4,096 video tokens, 8 completions of
512 tokens. For each size:

    step      policy+reference step (k3 KL): replicated rows one at a time (`rows_1`) or all at
              once (`rows_all`), both with the head on completions only, and the shared prefix.
              Time by CUDA events, peak memory above what lay there before, tokens per second of
              the group's G (P + C), MFU without recomputed work. `share_of_flop_ratio` is the
              speed-up over the faster rows, divided by the ratio of operations (`step_flops` in
              qwen_shapes.py): at least 0.8 is the goal.
    longest   video tokens of the longest clip that fits, by doubling and halving
    kernels   one layer's attention by fused kernels against dense formulas, and their gaps
    rollout   tokens per second of the in-process engine

All weights are trained, the tower's too, where they fit with a frozen reference and AdamW in
float32 (24 bytes each); else rank-16 adapters on the language model, and `training` says so.
`--device cpu --size tiny --video-tokens 16 --completion-tokens 4` shows that it runs.
"""

from __future__ import annotations

import argparse
import datetime
import gc
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measuring import fits, longest, measure, rounded
from qwen_kernels import kernel_costs
from qwen_shapes import PATCH, SHAPES, TEXT, Shape, build, step_flops
from torch import Tensor

from kinograd.algo.grpo import Grpo
from kinograd.algo.parts.loss import TokenBatch, policy_loss
from kinograd.algo.parts.settings import KLConfig
from kinograd.config.rollout import InProcess, SamplingConfig
from kinograd.config.schema import OptimConfig
from kinograd.models.adapters import adapter_off
from kinograd.models.load import frozen_copy
from kinograd.models.logprobs import token_logprobs
from kinograd.models.media import Patches
from kinograd.models.prefix import PrefixLM
from kinograd.models.prompt import Prompt
from kinograd.rollout.engine import Request
from kinograd.rollout.in_process import InProcessEngine
from kinograd.train.batching import TrainCompletion, TrainItem
from kinograd.train.learner import Learner
from kinograd.train.reference import Reference
from kinograd.types import ORDERED, Example, Kind, MediaType

ALGO = Grpo(kl=KLConfig(beta=0.04))
PEAKS = {"PCIe": None, "NVL": None, "H200": 989.0, "H100": 989.0, "A100": 312.0}
"""Dense bfloat16 TFLOP/s by part of the device's name, the first that fits (vendor's sheets)."""


# ------------------------------------------------------------------- the step


class Bench:
    """A model, its optimizer and its reference on the device."""

    def __init__(self, shape: Shape, device: torch.device, options: argparse.Namespace) -> None:
        self.shape, self.device = shape, device
        self.g, self.c = options.group, options.completion_tokens
        self.model, self.lora = build(shape, device, options.checkpointing)
        self.lm = self.model.lm
        config = OptimConfig(lr=1e-9, micro_tokens=options.micro_tokens)
        self.learner = Learner(self.model, config, total_steps=1000)
        self.reference = Reference(self.lm, None if self.lora else frozen_copy(self.lm))
        self.clear()
        self.update_s = measure(self.learner.step, device, self.clear, n=2)[0]
        self.clear()

    def clear(self) -> None:
        """Gradients of zero, held: they take as much whatever the way; no features kept."""
        for p in self.lm.parameters():
            if p.requires_grad:
                p.grad = torch.zeros_like(p) if p.grad is None else p.grad.zero_()
        self.lm.forget_features()

    def task(self, v: int, g: int) -> TrainItem:
        """A prompt with V video tokens and g completions, all at random."""
        rng, family = np.random.default_rng(0), self.lm.family
        grid = (v // self.shape.tokens_per_frame, *self.shape.frame)
        pixels = torch.randn(int(np.prod(grid)), PATCH, device=self.device)
        patches = Patches(MediaType.VIDEO, pixels, grid, 1.0)
        words = rng.integers(0, self.shape.first_vision_token, TEXT - 2).tolist()
        clip = [family.vision_start, family.video_token, family.vision_end]
        ids = family.expand([*words[:8], *clip, *words[8:]], [patches])
        positions = family.positions(ids, [patches])
        prompt = Prompt(ids, positions, ids == family.video_token, (patches,))
        weight = np.full(self.c, 1 / (g * self.c), np.float32)
        completions = tuple(
            TrainCompletion(
                rng.integers(0, self.shape.first_vision_token, self.c),
                weight,
                np.full(self.c, rng.standard_normal(), np.float32),
            )
            for _ in range(g)
        )
        return TrainItem(prompt, completions)

    def shared(self, task: TrainItem) -> float:
        """Gradients by the shared prefix; the loss."""
        (rows,) = self.reference.score(self.learner, [task])
        completions = tuple(
            TrainCompletion(c.token_ids, c.weight, c.advantage, ref_logprobs=r)
            for c, r in zip(task.completions, rows, strict=True)
        )
        referred = TrainItem(task.prompt, completions)
        loss = self.learner.accumulate([referred], lambda batch: policy_loss(batch, ALGO))
        return loss["loss"]

    @contextmanager
    def referee(self) -> Iterator[PrefixLM]:
        if self.reference.copy is not None:
            yield self.reference.copy
            return
        with adapter_off(self.lm.model):
            yield self.lm

    def rows(self, task: TrainItem, at_once: int) -> float:
        """Gradients by replicated rows, ``at_once`` to a micro-batch; the loss."""
        parts = [
            task.completions[i : i + at_once] for i in range(0, len(task.completions), at_once)
        ]
        with torch.no_grad(), self.referee() as lm:
            refs = [self._logprobs(lm, task.prompt, part)[0] for part in parts]
        total = torch.zeros((), device=self.device)
        for part, ref in zip(parts, refs, strict=True):
            logprobs, entropy = self._logprobs(self.lm, task.prompt, part)
            weight, advantage = (
                torch.from_numpy(np.concatenate([getattr(c, name) for c in part])).to(self.device)
                for name in ("weight", "advantage")
            )
            row = torch.arange(len(part), device=self.device).repeat_interleave(self.c)
            batch = TokenBatch(logprobs, entropy, weight, row, advantage, ref_logprobs=ref)
            loss, _ = policy_loss(batch, ALGO)
            loss.backward()
            total += loss.detach()
        return float(total)

    def _logprobs(
        self, lm: PrefixLM, prompt: Prompt, completions: tuple[TrainCompletion, ...]
    ) -> tuple[Tensor, Tensor]:
        """Log-probabilities and entropies of the completions' tokens, row after row."""
        ids = torch.from_numpy(np.stack([c.token_ids for c in completions]))
        rows = [lm.family.row(prompt, one) for one in ids]
        inputs = {
            name: torch.cat([row[name] for row in rows], 1 if name == "position_ids" else 0)
            for name in rows[0]
        }
        inputs = {name: x.to(self.device) for name, x in inputs.items()}
        with lm.autocast():
            hidden = lm.model.model(**inputs, use_cache=False).last_hidden_state
        hidden = hidden[:, len(prompt.input_ids) - 1 : -1].flatten(0, 1).to(lm.dtype)
        return token_logprobs(hidden, lm.head_weight, ids.flatten().to(self.device))

    def gradient_norm(self) -> float:
        grads = [p.grad for p in self.lm.parameters() if p.grad is not None]
        return float(torch.nn.utils.get_total_norm(grads))


def step_costs(bench: Bench, v: int, peak: float | None) -> dict[str, dict[str, Any]]:
    """Each way's policy+reference step; ``{"fits": False}`` for one that takes too much."""
    task, g, c = bench.task(v, bench.g), bench.g, bench.c
    ways: dict[str, Callable[[], float]] = {
        "rows_1": lambda: bench.rows(task, 1),
        "rows_all": lambda: bench.rows(task, g),
        "shared": lambda: bench.shared(task),
    }
    out: dict[str, dict[str, Any]] = {}
    for way, work in ways.items():
        bench.clear()
        if not fits(work, bench.device):
            out[way] = {"fits": False}
            continue
        seconds, gb = measure(work, bench.device, bench.clear)
        norm = bench.gradient_norm()
        bench.clear()
        whole = seconds + bench.update_s
        flops = step_flops(bench.shape, v, c, g, lora=bench.lora, shared=way == "shared")
        out[way] = {
            "fits": True,
            "s": whole,
            "update_s": bench.update_s,
            "gb": gb,
            "tokens_s": g * (v + TEXT + c) / whole,
            "tflop": flops / 1e12,
            "mfu": flops / 1e12 / whole / peak if peak else None,
            "loss": work(),
            "gradient_norm": norm,
        }
        print(f"  {way:10} {rounded(out[way])}", flush=True)
    return out


def longest_clips(bench: Bench, v: int, limit: int) -> dict[str, int]:
    """Video tokens that fit, by way. The size of a micro-batch decides, not that of the group,
    so that one is enough; the optimizer's state and all gradients are held."""
    unit, rows = bench.shape.tokens_per_frame, bench.learner.config.micro_tokens // bench.c
    works: dict[str, tuple[int, Callable[[TrainItem], float]]] = {
        "rows_1": (1, lambda task: bench.rows(task, 1)),
        "rows_all": (bench.g, lambda task: bench.rows(task, bench.g)),
        "shared": (min(bench.g, max(1, rows)), bench.shared),
    }
    out = {}
    for way, (g, work) in works.items():

        def one(frames: int, g=g, work=work) -> bool:
            bench.clear()
            return fits(lambda: work(bench.task(frames * unit, g)), bench.device)

        out[way] = unit * longest(one, max(1, v // unit // 4), limit // unit)
        print(f"  longest clip, {way}: {out[way]} video tokens", flush=True)
    return out


# -------------------------------------------------------------------- rollout


def rollout_cost(bench: Bench, v: int) -> dict[str, float]:
    """The engine's tokens per second, prompt and all, and decoding alone."""
    example = Example("bench", Kind.FREE_FORM, "?", "", ())
    request = Request(example, ORDERED, bench.task(v, 1).prompt, bench.g)
    engine = InProcessEngine(bench.model, InProcess())

    def generate(length: int) -> float:
        sampling = SamplingConfig(max_new_tokens=length)

        def work() -> None:
            engine.generate([request], sampling, key=(0,))

        return measure(work, bench.device, bench.lm.forget_features, n=1)[0]

    first, whole = generate(1), generate(bench.c)
    return {"s": whole, "first_token_s": first, "tokens_s": bench.g * bench.c / whole}


# ----------------------------------------------------------------------- main


def measure_size(
    name: str, device: torch.device, options: argparse.Namespace, peak: float | None
) -> dict[str, Any]:
    """Everything about one size, with its ``ratios``."""
    shape, v = SHAPES[name], options.video_tokens
    print(f"{name}: {v} video tokens, {options.group} x {options.completion_tokens}", flush=True)
    kernel = kernel_costs(shape, device, v, options.completion_tokens, options.group)
    bench = Bench(shape, device, options)
    step = step_costs(bench, v, peak)
    rollout = rollout_cost(bench, v)
    print(f"  rollout {rounded(rollout)}", flush=True)
    clips = longest_clips(bench, v, options.longest) if options.longest else {}
    flops = {
        shared: step_flops(shape, v, bench.c, bench.g, lora=bench.lora, shared=shared)
        for shared in (False, True)
    }
    ratio = flops[False] / flops[True]
    rows = [step[way] for way in ("rows_1", "rows_all") if step[way]["fits"]]
    ours = step["shared"] if step["shared"]["fits"] else None
    speedup = memory = None
    if rows and ours:
        fastest = min(rows, key=lambda row: row["s"])
        speedup = fastest["s"] / ours["s"]
        memory = ours["gb"] / fastest["gb"] if ours["gb"] else None
    return {
        "training": "rank-16 adapters; all weights do not fit" if bench.lora else "all weights",
        "parameters": sum(p.numel() for p in bench.lm.parameters()),
        "ratios": {
            "policy_ref_speedup": speedup,
            "flop_ratio": ratio,
            "share_of_flop_ratio": speedup / ratio if speedup else None,
            "memory_fraction": memory,
            "kernel_speedup": kernel["prompt"]["dense_ms"] / kernel["prompt"]["fused_ms"]
            if kernel["agrees"]
            else None,
        }
        | {
            f"longest_over_{way}": clips["shared"] / n
            for way, n in clips.items()
            if n and way != "shared"
        },
        "step": step,
        "longest_clip": clips,
        "kernels": kernel,
        "rollout": rollout,
    }


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--size", nargs="+", choices=[*SHAPES], default=["3b", "7b"])
    parser.add_argument("--video-tokens", type=int, default=4096)
    parser.add_argument("--completion-tokens", type=int, default=512)
    parser.add_argument("--group", type=int, default=8)
    parser.add_argument("--micro-tokens", type=int, default=4096)
    parser.add_argument(
        "--longest", type=int, default=262144, help="longest clip tried; 0 for none"
    )
    parser.add_argument("--checkpointing", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--peak-tflops", type=float, help="of the device, dense bfloat16")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    device = torch.device(options.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        parser.error(
            "no CUDA device here. To see that it runs: --device cpu --size tiny "
            "--video-tokens 16 --completion-tokens 4 --longest 64"
        )
    for size in options.size:
        if options.video_tokens % (unit := SHAPES[size].tokens_per_frame):
            parser.error(f"--video-tokens: {size} takes multiples of {unit}")
    named = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    peak = options.peak_tflops or next((p for part, p in PEAKS.items() if part in named), None)

    result: dict[str, Any] = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "device": named,
        "torch": torch.__version__,
        "peak_tflops": peak,
        "setting": {k: v for k, v in vars(options).items() if k not in ("json", "device")},
        "ratios": {},
        "sizes": {},
    }
    for size in options.size:
        figures = rounded(measure_size(size, device, options, peak))
        gc.collect()
        if device.type == "cuda":
            torch.cuda.empty_cache()
        result["ratios"][size] = figures.pop("ratios")
        result["sizes"][size] = figures
        text = json.dumps(result, indent=1)
        if options.json:  # after each size: a later one may run out of time
            options.json.parent.mkdir(parents=True, exist_ok=True)
            options.json.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
