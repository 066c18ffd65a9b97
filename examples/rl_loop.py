"""GRPO on video in one file, without Kinograd's loops: what the method does, step by step.

    python examples/rl_loop.py                  # a tiny model on two CPU cores, minutes

A small model is taught the form of an answer, then learns from answers alone. Everything
that a step does is in ``main``; the library lends the clips, the model and the
shared-prefix forward (read ``kinograd/models/prefix.py`` for that one).

Notation: P prompts per step, G rollouts of each, T tokens of a rollout.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import numpy as np
import torch

from kinograd.config.schema import ModelConfig, PromptConfig, VideoConfig
from kinograd.config.synthetic import SyntheticConfig
from kinograd.datasets.jsonl import read_examples
from kinograd.datasets.sampler import batch_indices
from kinograd.keys import generator
from kinograd.models.attention import DecodeState
from kinograd.models.load import load
from kinograd.models.prefix import PrefixLM, backward_prefix
from kinograd.models.prompt import encode_response
from kinograd.models.reader import Reader
from kinograd.synthetic.build import build
from kinograd.synthetic.tiny_model import make_tiny
from kinograd.video.clip_store import ClipStore

SFT_STEPS, RL_STEPS = 120, 20
P, G, T = 16, 8, 24
VIDEO = VideoConfig(nframes=16, min_pixels=28 * 28, max_pixels=56 * 56, workers=0)


def pad(rows: list[list[np.ndarray]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and validity, (P, G, T), from P lists of G arrays."""
    longest = max(len(r) for row in rows for r in row)
    ids = torch.zeros(len(rows), len(rows[0]), longest, dtype=torch.long)
    valid = torch.zeros(ids.shape, dtype=torch.bool)
    for i, row in enumerate(rows):
        for j, r in enumerate(row):
            ids[i, j, : len(r)] = torch.from_numpy(r)
            valid[i, j, : len(r)] = True
    return ids, valid


@torch.no_grad()
def roll_out(lm: PrefixLM, prompts, end: int, noise) -> list[list[np.ndarray]]:
    """G sampled responses per prompt: prompt once, its keys and values stored once."""
    prefix = lm.prefix(prompts)
    kv = prefix.kv
    state = DecodeState(
        kv,
        [k.new_zeros(len(prompts) * G, k.shape[1], T, k.shape[3]) for k in kv.keys],
        [v.new_zeros(len(prompts) * G, v.shape[1], T, v.shape[3]) for v in kv.values],
    )
    banned = torch.tensor(lm.family.banned_tokens)
    hidden, tokens = prefix.last.repeat_interleave(G, 0), []
    for t in range(T):
        probs = lm.next_logits(hidden, 1.0, banned).softmax(-1).double()
        draw = torch.from_numpy(noise.random((len(probs), 1)))
        tokens.append((probs.cumsum(-1) < draw).sum(-1).clamp_max(probs.shape[-1] - 1))
        if t + 1 < T:
            hidden = lm.decode(tokens[-1], prefix.next_position.repeat_interleave(G) + t, state)
    rows = torch.stack(tokens, 1).numpy()
    lengths = [(list(r).index(end) + 1) if end in r else T for r in rows]
    cut = [r[:n] for r, n in zip(rows, lengths, strict=True)]
    return [cut[i : i + G] for i in range(0, len(cut), G)]


def reward(text: str, gold: str) -> float:
    """Format + accuracy, as Video-R1."""
    form = re.fullmatch(r"<think>.*?</think>\s*<answer>(.*?)</answer>", text, re.DOTALL)
    return 0.0 if form is None else 1.0 + float(form[1].strip() == gold)


def main(folder: Path) -> None:
    world = SyntheticConfig(families=["first"], splits={"worked": 400, "questions": 400}, workers=1)
    files = build(world, folder / "world")
    worked, questions = (read_examples([files[s]]) for s in ("worked", "questions"))
    make_tiny(folder / "model", "0.8m")
    model = load(ModelConfig(path=str(folder / "model"), train_vision=True))
    lm, tokenizer = model.lm, model.tokenizer
    reader = Reader(
        model, ClipStore(VIDEO, folder / "world", 28), PromptConfig(template="plain"), 0
    )

    def step(optimizer, prompts, rows, weight_of) -> float:
        """One update: loss = - sum of weight x log pi over all tokens of all responses."""
        ids, valid = pad(rows)
        prefix = lm.prefix(prompts)  # tower and prompt: once, whatever G is
        leaves = prefix.leaves()
        logprobs = lm.logprobs(leaves, ids, valid)[0]
        loss = -(weight_of(valid) * logprobs).sum()
        loss.backward()  # through the responses, into the leaves
        backward_prefix(prefix, leaves)  # and on through prompt and tower
        torch.nn.utils.clip_grad_norm_(lm.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        return loss.item()

    optimizer = torch.optim.AdamW(lm.parameters(), lr=3e-3, betas=(0.9, 0.99))
    for i in range(SFT_STEPS):  # cold start: imitate worked examples
        batch = [worked[j] for j in batch_indices(i, 32, len(worked), "sft")]
        rows = [[encode_response(e, tokenizer)] for e in batch]
        prompts = [reader.read(e) for e in batch]
        loss = step(optimizer, prompts, rows, lambda valid: 1 / valid.sum())
        if i % 20 == 0:
            print(f"sft {i:4d}  loss {loss:.3f}")

    optimizer = torch.optim.AdamW(lm.parameters(), lr=2e-4, betas=(0.9, 0.99))
    for i in range(RL_STEPS):  # reinforcement: answers only
        batch = [questions[j] for j in batch_indices(i, P, len(questions), "rl")]
        prompts = [reader.read(e) for e in batch]
        rows = roll_out(lm, prompts, tokenizer.eos_token_id, generator("rollout", i))
        rewards_PG = np.array(
            [
                [reward(tokenizer.decode(r, skip_special_tokens=True), e.answer) for r in row]
                for e, row in zip(batch, rows, strict=True)
            ]
        )
        centred = rewards_PG - rewards_PG.mean(1, keepdims=True)
        advantages_PG = centred / (rewards_PG.std(1, ddof=1, keepdims=True) + 1e-4)

        def weights(valid, advantages=torch.from_numpy(advantages_PG).float()):
            """A of its response for each token; mean over tokens, then over responses."""
            per_token = advantages[..., None] / valid.sum(-1, keepdim=True) / advantages.numel()
            return per_token.expand(valid.shape)[valid]

        step(optimizer, prompts, rows, weights)
        length = np.mean([len(r) for row in rows for r in row])
        print(f"rl {i:4d}  reward {rewards_PG.mean():.3f}  length {length:.1f}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        main(Path(scratch))
