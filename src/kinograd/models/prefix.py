"""Shared-prefix forward: vision tower once, prompt once, completions against both.

``prefix`` runs the tower and the prompts and captures every layer's keys and values.
``suffix`` runs completions in micro-batches against detached copies of those (leaves),
so that memory is the prompt's plus one micro-batch whatever the size of the group.
Once all completions have sent their gradients into the leaves, ``backward_prefix``
propagates them through prompt and tower in one backward pass. The gradients are those of
replicated rows, to rounding.

Shape legend: N prompts, g completions each, P and C padded lengths, D hidden size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from kinograd.models.attention import NAME, DecodeState, PrefixCapture, PrefixKV
from kinograd.models.family import PrefixFamily
from kinograd.models.logprobs import PartLoss, chunk_logits, fused_loss, token_logprobs
from kinograd.models.media import Patches
from kinograd.models.prompt import Prompt


class Decoding(Protocol):
    """A running generation of g rollouts per prompt, R = N x g rows.

    Attributes:
        hidden: (R, D) hidden states that predict each row's first token.
    """

    hidden: Tensor

    def step(self, tokens: Tensor) -> Tensor:
        """Append ``tokens`` (R,) and return the hidden states (R, D) that predict the next."""
        ...

    def select(self, keep: Tensor) -> None:
        """Keep only the prompts with the indices ``keep``, each with all its rows."""
        ...


@dataclass
class Prefix:
    """A batch of prompts after their forward pass.

    Attributes:
        kv: keys and values by layer, with the padding mask.
        last: (N, D) final hidden state of each prompt's last token.
        next_position: (N,) position of each completion's first token.
    """

    kv: PrefixKV
    last: Tensor
    next_position: Tensor

    def leaves(self) -> Prefix:
        """Detach the tensors from the graph; the copies collect gradients."""

        def leaf(x: Tensor) -> Tensor:
            return x.detach().requires_grad_(x.requires_grad)

        kv = PrefixKV(
            [leaf(k) for k in self.kv.keys], [leaf(v) for v in self.kv.values], self.kv.mask
        )
        return Prefix(kv, leaf(self.last), self.next_position)

    def tensors(self) -> list[Tensor]:
        return [*self.kv.keys, *self.kv.values, self.last]

    @property
    def needs_backward(self) -> bool:
        """True if completions' gradients must propagate into prompt and tower."""
        return any(t.requires_grad for t in self.tensors())

    def select(self, keep: Tensor) -> Prefix:
        """Return the prompts with the indices ``keep``, to compact a running generation."""
        kv = PrefixKV(
            [k[keep] for k in self.kv.keys],
            [v[keep] for v in self.kv.values],
            None if self.kv.mask is None else self.kv.mask[keep],
        )
        return Prefix(kv, self.last[keep], self.next_position[keep])


class PrefixLM(nn.Module):
    """A transformers video language model, split into prompt and completions.

    Args:
        model: the transformers model with its head; its attention is switched to the
            shared-prefix function.
        family: what is particular to its architecture.
        dtype: compute type; weights keep theirs (float32 masters under bfloat16).
    """

    shares_prefix = True
    """True if prompt and tower run once per group (see models/replicated)."""

    def __init__(self, model: Any, family: Any, dtype: torch.dtype) -> None:
        super().__init__()
        self.model: Any = model
        self.family: PrefixFamily = family
        self.dtype = dtype
        self._features: WeakKeyDictionary[Patches, Tensor] = WeakKeyDictionary()
        self.patches_seen = 0
        """Patches that went through the tower so far; the self-check counts them."""
        self.force_vision_forward = False
        """Run the tower for prompts without media too, at weight zero."""
        # ranks that share the tower's weights have to make the same calls
        self._adopt()

    def _adopt(self) -> None:
        self.model.set_attn_implementation({"text_config": NAME, "vision_config": "sdpa"})

    @property
    def device(self) -> torch.device:
        return self.head_weight.device

    @property
    def head_weight(self) -> Tensor:
        """(V, D) output embedding."""
        return self.model.get_output_embeddings().weight

    @property
    def tower_frozen(self) -> bool:
        return not any(p.requires_grad for p in self.family.tower(self.model).parameters())

    def share_features(self, other: PrefixLM) -> None:
        """Use the other model's cached features: both have the same frozen tower."""
        self._features = other._features

    def forget_features(self) -> None:
        """Drop cached features: the tower's weights have changed."""
        self._features.clear()

    def autocast(self):
        """Return the context under which forward passes use the compute type."""
        return torch.autocast(
            self.device.type, torch.bfloat16, enabled=self.dtype is torch.bfloat16
        )

    def media_features(self, media: Sequence[Patches]) -> dict[Patches, Tensor]:
        """Return features (levels, tokens, D) per distinct medium, by one call of the tower.

        Features of a frozen tower are kept as long as their Patches live, so that
        rollout, reference and policy share them.
        """
        frozen = self.tower_frozen
        sources = [m.source or m for m in media]
        found = {m: self._features[m] for m in sources if frozen and m in self._features}
        missing = [m for m in dict.fromkeys(sources) if m not in found]
        if missing:
            pixels = torch.cat([m.pixels for m in missing]).to(self.device)
            grids = torch.tensor([m.grid for m in missing], device=self.device)
            with torch.set_grad_enabled(torch.is_grad_enabled() and not frozen), self.autocast():
                features = self.family.features(self.model, pixels, grids)
            self.patches_seen += len(pixels)
            found |= dict(zip(missing, features, strict=True))
            if frozen:
                self._features.update(zip(missing, features, strict=True))
        for m in media:
            if m.source is not None:
                levels, _, size = found[m.source].shape
                by_time = found[m.source].view(levels, m.grid[0], -1, size)
                found[m] = by_time[:, list(m.order)].flatten(1, 2)
        return found

    def _blank_features(self) -> Tensor:
        """Run the tower on the family's blank medium; return the sum of its features."""
        blank = self.family.blank()
        grids = torch.tensor([blank.grid], device=self.device)
        with self.autocast():
            (features,) = self.family.features(self.model, blank.pixels.to(self.device), grids)
        return features.sum()

    def prefix(self, prompts: Sequence[Prompt]) -> Prefix:
        """Run N prompts, right-padded, with graph; return their keys and values."""
        device = self.device
        lengths = torch.tensor([len(p.input_ids) for p in prompts], device=device)
        longest = int(lengths.max())
        ids = torch.zeros(len(prompts), longest, dtype=torch.long)
        axes = prompts[0].positions.shape[:-1]
        positions = torch.zeros(*axes, len(prompts), longest, dtype=torch.long)
        slots = torch.zeros(len(prompts), longest, dtype=torch.bool)
        for i, prompt in enumerate(prompts):
            n = len(prompt.input_ids)
            ids[i, :n] = torch.from_numpy(prompt.input_ids)
            positions[..., i, :n] = torch.from_numpy(prompt.positions)
            slots[i, :n] = torch.from_numpy(prompt.is_media)
        embeds, deep = self.model.get_input_embeddings()(ids.to(device)), {}
        media = [m for prompt in prompts for m in prompt.media]
        if media:
            features = self.media_features(media)
            flat = torch.cat([features[m] for m in media], dim=1).to(embeds.dtype)
            assert int(slots.sum()) == flat.shape[1], "media tokens and features do not match"
            slots = slots.to(device)
            embeds = embeds.masked_scatter(slots[..., None], flat[0])
            deep = self.family.deep_features(slots, flat[1:])
        elif self.force_vision_forward:
            embeds = embeds + 0.0 * self._blank_features().to(embeds.dtype)
        capture = PrefixCapture()
        with self.autocast():
            hidden = self.family.language_model(self.model)(
                inputs_embeds=embeds,
                position_ids=positions.to(device),
                use_cache=False,
                shared=capture,
                **deep,
            ).last_hidden_state
        layers = range(len(capture.keys))
        padding = torch.arange(longest, device=device)[None] >= lengths[:, None]
        mask = None
        if bool(padding.any()):
            key = capture.keys[0]
            mask = torch.zeros(padding.shape, dtype=key.dtype, device=device)
            mask = mask.masked_fill(padding, float("-inf"))[:, None, None]
        kv = PrefixKV([capture.keys[i] for i in layers], [capture.values[i] for i in layers], mask)
        last = hidden[torch.arange(len(prompts), device=device), lengths - 1]
        following = torch.tensor([p.next_position for p in prompts], device=device)
        return Prefix(kv, last, following)

    def suffix(self, prefix: Prefix, completions: Tensor) -> Tensor:
        """Compute the hidden states (N, g, C, D) that predict ``completions`` (N, g, C)."""
        n, g, length = completions.shape
        first = prefix.last[:, None, None].expand(n, g, 1, -1)
        if length == 1:
            return first
        inputs = completions[..., :-1].reshape(n * g, length - 1)
        steps = prefix.next_position[:, None] + torch.arange(length - 1, device=self.device)
        positions = self.family.text_positions(steps.repeat_interleave(g, 0))
        with self.autocast():
            hidden = self.family.language_model(self.model)(
                inputs_embeds=self.model.get_input_embeddings()(inputs),
                position_ids=positions,
                use_cache=False,
                shared=prefix.kv,
            ).last_hidden_state
        return torch.cat([first, hidden.view(n, g, length - 1, -1)], 2)

    def logprobs(
        self,
        prefix: Prefix,
        completions: Tensor,
        valid: Tensor,
        *,
        temperature: float = 1.0,
        banned: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Compute log-probabilities and entropies (M,) of the M valid tokens, row-major.

        Args:
            completions: (N, g, C) token ids, right-padded.
            valid: bool (N, g, C), True for real tokens.
        """
        hidden = self.suffix(prefix, completions)[valid].to(self.dtype)
        return token_logprobs(
            hidden, self.head_weight, completions[valid], temperature=temperature, banned=banned
        )

    def loss(
        self,
        prefix: Prefix,
        completions: Tensor,
        valid: Tensor,
        part_loss: PartLoss,
        *,
        temperature: float = 1.0,
        banned: Tensor | None = None,
    ) -> Tensor:
        """Compute a loss that sums over tokens, fused into the head; see ``logprobs``."""
        hidden = self.suffix(prefix, completions)[valid].to(self.dtype)
        return fused_loss(
            hidden,
            self.head_weight,
            completions[valid],
            part_loss,
            temperature=temperature,
            banned=banned,
        )

    def start_decoding(self, prefix: Prefix, g: int, budget: int) -> Decoding:
        """Begin g rollouts of at most ``budget`` tokens per prompt."""
        return PrefixDecoding(self, prefix, g, budget)

    def decode(self, tokens: Tensor, positions: Tensor, state: DecodeState) -> Tensor:
        """Run one step of generation; return hidden states (R, D) after ``tokens`` (R,)."""
        with self.autocast():
            hidden = self.family.language_model(self.model)(
                inputs_embeds=self.model.get_input_embeddings()(tokens[:, None]),
                position_ids=self.family.text_positions(positions[:, None]),
                use_cache=False,
                shared=state,
            ).last_hidden_state[:, 0]
        state.filled += 1
        return hidden

    def next_logits(self, hidden: Tensor, temperature: float, banned: Tensor | None) -> Tensor:
        """Compute logits (R, V) of the next token, by the arithmetic of ``logprobs``."""
        hidden = hidden.to(self.dtype)
        return chunk_logits(hidden, self.head_weight.to(hidden.dtype), temperature, banned)


class PrefixDecoding:
    """Decoding of rows that share their prompt's keys and values, stored once."""

    def __init__(self, lm: PrefixLM, prefix: Prefix, g: int, budget: int) -> None:
        self.lm, self.prefix, self.g = lm, prefix, g
        self.hidden = prefix.last.repeat_interleave(g, 0)
        rows = len(self.hidden)

        def buffer(x: Tensor) -> Tensor:
            return x.new_zeros(rows, x.shape[1], budget, x.shape[3])

        kv = prefix.kv
        self.state = DecodeState(kv, [buffer(k) for k in kv.keys], [buffer(v) for v in kv.values])

    def step(self, tokens: Tensor) -> Tensor:
        following = self.prefix.next_position.repeat_interleave(self.g) + self.state.filled
        return self.lm.decode(tokens, following, self.state)

    def select(self, keep: Tensor) -> None:
        rows = (keep[:, None] * self.g + torch.arange(self.g, device=keep.device)).flatten()
        self.prefix = self.prefix.select(keep)
        keys, values = ([x[rows] for x in xs] for xs in (self.state.keys, self.state.values))
        self.state = DecodeState(self.prefix.kv, keys, values, self.state.filled)


def backward_prefix(prefix: Prefix, leaves: Prefix) -> None:
    """Propagate the gradients in the leaves through prompt and tower.

    Outputs that need no gradient (frozen layers, adapters on queries only) are left out.
    """
    pairs = [
        (out, leaf.grad)
        for out, leaf in zip(prefix.tensors(), leaves.tensors(), strict=True)
        if out.requires_grad and leaf.grad is not None
    ]
    if pairs:
        outputs, grads = zip(*pairs, strict=True)
        torch.autograd.backward(outputs, grads)
