"""Supervised cold start, on one page.

Loss on the response only (rationale and answer): prompt and media are context. It is the
RL learner with a cross-entropy weight: each example is a prompt with one completion.
"""

from __future__ import annotations

import math
import time
from functools import partial
from pathlib import Path

import numpy as np

from kinograd.algo.parts.aggregate import token_weights
from kinograd.algo.parts.loss import cross_entropy
from kinograd.config.schema import SftRecipe
from kinograd.datasets.sampler import batch_indices
from kinograd.models.prompt import encode_response
from kinograd.models.reader import ExampleFault, Unreadable
from kinograd.progress import progress
from kinograd.train.batching import TrainCompletion, TrainItem
from kinograd.train.learner import Learner
from kinograd.train.session import Session, open_session
from kinograd.types import Example


def train_sft(recipe: SftRecipe) -> Path:
    """Run or resume the recipe; return the folder of the last checkpoint's model."""
    learner = partial(Learner, config=recipe.optim, total_steps=recipe.sft.steps or 1)
    with open_session(recipe, learner) as session:
        return _loop(session)


def _loop(session: Session[SftRecipe]) -> Path:
    recipe, policy, learner = session.recipe, session.policy, session.learner
    size, n = recipe.sft.batch_size, len(session.examples)
    total = recipe.sft.steps or max(1, math.ceil((recipe.sft.epochs or 0) * n / size))
    learner.total_steps = total
    tokenizer = policy.model.tokenizer

    def batch(step: int):
        return [session.examples[i] for i in batch_indices(step, size, n, recipe.run.seed)]

    def too_long(example: Example) -> Unreadable | None:
        length, limit = len(encode_response(example, tokenizer)), recipe.sft.max_response_tokens
        detail = f"its response has {length} tokens, sft.max_response_tokens is {limit}"
        return (
            Unreadable(example, ExampleFault.RESPONSE_TOO_LONG, detail) if length > limit else None
        )

    with progress(total, recipe.name or "sft", done=session.start) as bar:
        for step in range(session.start, total):
            began = time.perf_counter()
            session.begin_step(step)
            pairs = session.read(batch(step), step, too_long)
            policy.reader.store.prefetch([m for e in batch(step + 1) for m in e.media])
            read_s = time.perf_counter() - began
            if not pairs:  # counted, and not yet too many
                session.end_step(step + 1, total, {})
                bar.advance()
                continue
            responses = [encode_response(example, tokenizer) for example, _ in pairs]
            weights = token_weights([len(r) for r in responses], recipe.sft.aggregate)
            items = [
                TrainItem(prompt, (TrainCompletion(response, weight),))
                for (_, prompt), response, weight in zip(pairs, responses, weights, strict=True)
            ]
            sums = learner.accumulate(items, cross_entropy)
            update = learner.step()
            policy.engine.sync(learner.updates)
            session.end_step(
                step + 1,
                total,
                {
                    "loss": sums["loss"],
                    "optim/grad_norm": update["grad_norm"],
                    "optim/lr": update["lr"],
                    "tokens/response": float(np.mean([len(r) for r in responses])),
                    "tokens/prompt": float(np.mean([len(t.prompt.input_ids) for t in items])),
                    "time/read_s": read_s,
                    "time/step_s": time.perf_counter() - began,
                },
            )
            bar.advance(loss=sums["loss"])
    return session.run.files.model(total)
