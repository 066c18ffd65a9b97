"""Replicated rows: how existing trainers compute a group's log-probs and rollouts.

Restated from what those trainers do, over plain transformers; G rows of prompt and
completion, right-padded, pixels repeated for each.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kinograd.models.logprobs import token_logprobs
from kinograd.models.prompt import Prompt


def _inputs(prompt: Prompt, completions: Tensor) -> dict[str, Tensor]:
    g, c = completions.shape
    ids = torch.cat([torch.from_numpy(prompt.input_ids).expand(g, -1), completions], 1)
    tail = (prompt.next_position + torch.arange(c)).expand(3, -1)
    positions = torch.cat([torch.from_numpy(prompt.positions), tail], 1)
    return {"input_ids": ids, "position_ids": positions[:, None].expand(3, g, -1)}


def _pixels(prompt: Prompt, g: int) -> dict[str, Tensor]:
    patches = prompt.media[0]
    return {
        "pixel_values_videos": patches.pixels.repeat(g, 1),
        "video_grid_thw": torch.tensor([patches.grid]).repeat(g, 1),
    }


def full_logits(model: nn.Module, prompt: Prompt, completions: Tensor) -> Tensor:
    """Video-R1: logits of every position, log-softmax row by row, completions cut out."""
    g, p = len(completions), len(prompt.input_ids)
    inputs = _inputs(prompt, completions)
    logits = model(**inputs, **_pixels(prompt, g), use_cache=False).logits[:, :-1]
    rows = [
        row.log_softmax(-1).gather(1, ids[1:, None])[:, 0]
        for row, ids in zip(logits, inputs["input_ids"], strict=True)
    ]
    return torch.stack(rows)[:, p - 1 :]


def _completion_head(model: nn.Module, prompt: Prompt, completions: Tensor, **media) -> Tensor:
    g, c = completions.shape
    hidden = model.model(**_inputs(prompt, completions), **media, use_cache=False)
    hidden = hidden.last_hidden_state[:, len(prompt.input_ids) - 1 : -1]
    weight = model.get_output_embeddings().weight
    return token_logprobs(hidden.reshape(g * c, -1), weight, completions.reshape(-1))[0].view(g, c)


def completion_head(model: nn.Module, prompt: Prompt, completions: Tensor) -> Tensor:
    """TRL: the same rows, but a chunked head over completion tokens only."""
    return _completion_head(model, prompt, completions, **_pixels(prompt, len(completions)))


def tower_once(model: nn.Module, prompt: Prompt, completions: Tensor) -> Tensor:
    """The tower on one copy of the clip; prompts still replicated."""
    one = _pixels(prompt, 1)
    output = model.model.get_video_features(*one.values(), return_dict=True)
    output.pooler_output = list(output.pooler_output) * len(completions)
    grids = one["video_grid_thw"].repeat(len(completions), 1)
    return _completion_head(
        model, prompt, completions, mm_encoder_outputs={"video": output}, video_grid_thw=grids
    )


ROWS = {"video_r1": full_logits, "completion_head": completion_head, "tower_once": tower_once}


def grpo_loss(logprobs: Tensor, ref: Tensor, advantages: Tensor, beta: float) -> Tensor:
    """Video-R1's loss: exp(logp - sg(logp)) A - beta k3, mean over tokens, then rows."""
    gap = (ref - logprobs).clamp(-10, 10)
    per_token = torch.exp(logprobs - logprobs.detach()) * advantages[:, None]
    per_token = per_token - beta * (gap.exp() - gap - 1)
    return -per_token.mean(1).mean()


@torch.no_grad()
def replicated_generate(model: nn.Module, prompt: Prompt, g: int, length: int) -> Tensor:
    """transformers' generate with ``num_return_sequences``: (g, length) sampled tokens."""
    patches = prompt.media[0]
    ids = torch.from_numpy(prompt.input_ids)[None]
    training = model.training
    model.eval()
    out = model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        mm_token_type_ids=torch.from_numpy(prompt.is_media)[None].int() * 2,
        pixel_values_videos=patches.pixels,
        video_grid_thw=torch.tensor([patches.grid]),
        second_per_grid_ts=torch.tensor([patches.seconds_per_grid]),
        do_sample=True,
        num_return_sequences=g,
        min_new_tokens=length,
        max_new_tokens=length,
    )
    model.train(training)
    return out[:, ids.shape[1] :]
