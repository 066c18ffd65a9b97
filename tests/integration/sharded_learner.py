"""Run by torchrun from test_parallel.py: sharded gradients against whole ones."""

from __future__ import annotations

import json
import sys

import numpy as np
import torch
import torch.distributed as dist

from kinograd.algo.parts.loss import policy_loss
from kinograd.config.schema import Grpo, ModelConfig, OptimConfig
from kinograd.models.load import VideoLM, load
from kinograd.models.media import Patches
from kinograd.models.prompt import Prompt
from kinograd.train import parallel
from kinograd.train.batching import TrainCompletion, TrainItem
from kinograd.train.learner import Learner
from kinograd.types import MediaType


def make_tasks(model: VideoLM) -> list[TrainItem]:
    """Five prompts about clips of their own, with one to five responses."""
    rng, family = np.random.default_rng(0), model.family
    tasks = []
    for i in range(5):
        pixels = torch.from_numpy(rng.standard_normal((4 * 4 * 6, 3 * 2 * 14 * 14), np.float32))
        patches = Patches(MediaType.VIDEO, pixels, (4, 4, 6), 1.0)
        around = [family.vision_start, family.video_token, family.vision_end]
        words = rng.integers(300, 400, 6 + i).tolist()
        media = () if i == 0 else (patches,)  # one rank has nothing to look at
        around = around if media else []
        ids = family.expand([*words[:3], *around, *words[3:]], media)
        is_media = ids == family.video_token
        prompt = Prompt(ids, family.positions(ids, media), is_media, media)
        lengths = rng.integers(1, 8, i + 1)
        completions = tuple(
            TrainCompletion(
                rng.integers(300, 400, n),
                np.full(n, 0.05, np.float32),
                advantage=np.full(n, 0.5 - j, np.float32),
            )
            for j, n in enumerate(lengths)
        )
        tasks.append(TrainItem(prompt, completions))
    return tasks


def main(folder: str, lora: bool) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    options = {"lora": {"rank": 4, "targets": ["q_proj"]}} if lora else {"train_vision": True}
    model = load(ModelConfig(path=folder, device="cpu", **options))
    if lora:  # B starts at zero, which would leave A without a gradient
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for name, p in model.lm.named_parameters():
                if "lora_B" in name:
                    p.copy_(0.1 * torch.randn(p.shape, generator=generator))
    tasks = make_tasks(model)

    def loss(batch):
        return policy_loss(batch, Grpo())

    config = OptimConfig(micro_tokens=40, lr=1e-3)
    whole = Learner(model, config, total_steps=1)
    whole.accumulate(tasks, loss)
    named = dict(model.lm.named_parameters())
    expected = {n: p.grad.clone() for n, p in named.items() if p.grad is not None}
    model.lm.zero_grad()

    parallel.shard(model.lm)
    learner = Learner(model, config, total_steps=1)
    learner.accumulate(tasks[:1] if rank == 0 else tasks[1:], loss)  # very uneven on purpose
    gap = scale = 0.0
    for name, p in model.lm.named_parameters():
        if p.grad is not None:
            gap += float(((parallel.whole(p.grad) - expected[name]) ** 2).sum())
            scale += float((expected[name] ** 2).sum())
    missing = set(expected) - {n for n, p in model.lm.named_parameters() if p.grad is not None}
    norm = learner.step()["grad_norm"]
    if rank == 0:
        print(
            json.dumps(
                {
                    "gap": (gap / scale) ** 0.5,
                    "missing": sorted(missing),
                    "norm": norm,
                    "whole_norm": scale**0.5,
                }
            )
        )
    dist.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2] == "lora")
