"""Self-check of the learner, before anything is trained.

One tiny group, on the model that will be trained, shows that the shared-prefix pass computes
what plain rows compute and that pixels reach the loss.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kinograd.keys import generator
from kinograd.models.load import VideoLM
from kinograd.models.prefix import PrefixLM, backward_prefix
from kinograd.models.prompt import Prompt
from kinograd.models.template import check_template
from kinograd.types import Clip, KinogradError, MediaType

_FRAMES, _CELLS, _LENGTHS = 4, 3, (5, 2, 4)
_TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-3, torch.bfloat16: 0.1}


class SelfCheckFailed(KinogradError):
    """Raised when the learner would not train what it should."""


@dataclass(frozen=True)
class SelfCheck:
    """Relative errors against plain rows, and what the tower saw.

    Attributes:
        logprobs, gradients: distance of the shared-prefix pass from replicated rows,
            relative to the latter; gradients over a few weights near both ends of the model.
        patches_seen, patches: by the tower, and those it should have seen, for three
            completions about one clip: the clip's, or three times its frames where rows
            are replicated.
        pixel_effect: largest change of a log-probability when the clip turns black.
    """

    logprobs: float
    gradients: float
    patches_seen: int
    patches: int
    pixel_effect: float
    tolerance: float

    @property
    def faults(self) -> list[str]:
        """Messages that say what is wrong; empty if nothing is."""
        out = []
        for name in ("logprobs", "gradients"):
            error = getattr(self, name)
            if not error <= self.tolerance:
                out.append(f"{name} differ from plain rows by {error:.2g} (> {self.tolerance:g})")
        if self.patches_seen != self.patches:
            out.append(f"the tower saw {self.patches_seen} patches instead of {self.patches}")
        if not self.pixel_effect > 0:
            out.append("a black clip changes nothing: pixels do not reach the loss")
        return out


def check_learner(model: VideoLM) -> SelfCheck:
    """Run the check and raise on a fault; weights and gradients stay as they were.

    Raises:
        UsageError: tokenizer, chat template and model do not fit each other.
        SelfCheckFailed: naming what differs.
    """
    check_template(model.tokenizer, model.lm.model)
    result = run_check(model)
    if result.faults:
        raise SelfCheckFailed(
            "the learner's self-check failed, refusing to train: " + "; ".join(result.faults)
        )
    return result


def run_check(model: VideoLM) -> SelfCheck:
    """Run the check; return its figures, faults included."""
    lm, rng = model.lm, generator("selfcheck")
    training = lm.training
    lm.eval()  # no dropout: both passes have to be the same function
    words = [_words(model, n) for n in (10, *_LENGTHS)]
    prompt, black = (_prompt(model, frames, words[0]) for frames in _frames(model, rng))
    completions = [torch.from_numpy(w) for w in words[1:]]
    advantages = torch.tensor([1.0, -0.5, 0.25], device=lm.device)
    try:
        seen = lm.patches_seen
        shared, shared_grads = _gradients(lm, lambda: _shared(lm, prompt, completions), advantages)
        seen = lm.patches_seen - seen
        plain, plain_grads = _gradients(lm, lambda: _rows(lm, prompt, completions), advantages)
        with torch.no_grad():
            dark = torch.cat(_shared(lm, black, completions)[0])
    finally:
        lm.train(training)
    return SelfCheck(
        _relative([shared], [plain]),
        _relative(shared_grads, plain_grads),
        seen,
        len(prompt.media[0].pixels) * (1 if lm.shares_prefix else len(_LENGTHS)),
        float((shared - dark).abs().max()),
        _TOLERANCE[lm.dtype],
    )


def _frames(model: VideoLM, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    unit = model.geometry.size_factor
    side = unit * max(_CELLS, 64 // unit)
    frames = rng.integers(0, 256, (_FRAMES, 3, side, side)).astype(np.uint8)
    return frames, np.zeros_like(frames)


def _words(model: VideoLM, n: int) -> np.ndarray:
    """Draw n token ids, without the family's placeholders."""
    vocabulary = np.arange(len(model.lm.head_weight))
    allowed = vocabulary[~np.isin(vocabulary, model.family.banned_tokens)]
    return generator("selfcheck words", n).choice(allowed, n)


def _prompt(model: VideoLM, frames: np.ndarray, words: np.ndarray) -> Prompt:
    clip = Clip(frames, np.arange(len(frames)) / 2, 2.0, 2.0, len(frames) / 2)
    media = [model.medium(MediaType.VIDEO, clip)]
    content = [{"type": "video"}, {"type": "text", "text": "What happens?"}]
    turns = [{"role": "user", "content": content}]
    return model.family.encode(turns, media, model.tokenizer)


def _shared(lm: PrefixLM, prompt: Prompt, completions: list[Tensor]):
    """Compute log-probs by the shared prefix; return them and the rest of the backward pass."""
    prefix = lm.prefix([prompt])
    leaves = prefix.leaves()
    ids = torch.nn.utils.rnn.pad_sequence(completions, batch_first=True)[None].to(lm.device)
    lengths = torch.tensor(_LENGTHS)[:, None]
    valid = (torch.arange(ids.shape[2]) < lengths)[None].to(lm.device)
    flat, _ = lm.logprobs(leaves, ids, valid)
    return flat.split(list(_LENGTHS)), lambda: backward_prefix(prefix, leaves)


def _rows(lm: PrefixLM, prompt: Prompt, completions: list[Tensor]):
    """Compute log-probs by one plain forward of the model per completion."""
    p = len(prompt.input_ids)
    out = []
    for completion in completions:
        row = lm.family.row(prompt, completion)
        with lm.autocast():
            row = {name: value.to(lm.device) for name, value in row.items()}
            logits = lm.model(**row).logits[0, p - 1 : -1]
        rows = logits.to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(-1)
        out.append(rows.gather(1, completion[:, None].to(lm.device))[:, 0])
    return out, lambda: None


def _gradients(lm: PrefixLM, forward, advantages: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Return log-probs, and the gradients of a REINFORCE loss for a few weights."""
    kept = {p: p.grad for p in lm.parameters() if p.requires_grad}
    for p in kept:
        p.grad = None
    rows, finish = forward()
    loss = -sum(a * row.mean() for a, row in zip(advantages, rows, strict=True))
    torch.as_tensor(loss).backward()
    finish()
    trained = list(kept)
    sample = trained[:4] + trained[-4:]
    grads = [p.grad.clone() for p in sample if p.grad is not None]
    for p, grad in kept.items():
        p.grad = grad
    return torch.cat([r.detach() for r in rows]), grads


def _relative(got: list[Tensor], expected: list[Tensor]) -> float:
    if len(got) != len(expected):
        return float("inf")
    gap = sum(float(((a - b).double() ** 2).sum()) for a, b in zip(got, expected, strict=True))
    scale = sum(float((b.double() ** 2).sum()) for b in expected)
    return (gap / scale) ** 0.5 if scale else 0.0
