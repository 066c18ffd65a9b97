"""Reader of examples: the one path from files to prompts, for every verb.

decode (ClipStore) -> view -> patches -> placeholders, ids and positions. What cannot be
read is a failure with a reason, never a substitute.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from weakref import WeakValueDictionary

from kinograd.config.schema import PromptConfig
from kinograd.models.load import VideoLM
from kinograd.models.media import Medium, Patches
from kinograd.models.prompt import Prompt, PromptTooLong, encode
from kinograd.types import ORDERED, Clip, DataError, Example, Media, MediaType, View, ViewKind
from kinograd.video.clip_store import ClipStore
from kinograd.video.faults import ClipError, ClipFault
from kinograd.video.views import apply_view, shuffle_order


class ExampleFault(StrEnum):
    """Faults of an example beside those of its clips (``ClipFault``)."""

    PROMPT_TOO_LONG = "prompt_too_long"
    BAD_EXAMPLE = "bad_example"
    RESPONSE_TOO_LONG = "response_too_long"


@dataclass(frozen=True)
class Unreadable:
    """An example that could not become a prompt, with the reason."""

    example: Example
    reason: ClipFault | ExampleFault
    detail: str


class Reader:
    """Reads examples for one model under one sampling contract.

    Prompts about the same clip under the same view share one ``Patches`` as long as any
    of them lives, so that decoding, patching and the vision tower run once for all.
    """

    def __init__(self, model: VideoLM, store: ClipStore, prompt: PromptConfig, seed: int) -> None:
        self.model = model
        self.store = store
        self.prompt = prompt
        self.seed = seed
        self._patches: WeakValueDictionary[tuple, Medium] = WeakValueDictionary()

    def clips(self, example: Example, view: View = ORDERED, step: int = 0) -> list[Clip]:
        """Return the frames that the model sees, per medium.

        Raises:
            ClipError: if a medium cannot be decoded.
        """
        return [self._view(self.store.get(m), m, example, view, step) for m in example.media]

    def read(self, example: Example, view: View = ORDERED, step: int = 0) -> Prompt:
        """Return the prompt of one example under one view.

        Raises:
            ClipError, PromptTooLong, DataError: see there.
        """
        media = []
        for m in example.media:
            key = (m, view) if view == ORDERED else (m, view, example.id, step)
            patches = self._patches.get(key)
            if patches is None:
                patches = self._medium(m, example, view, step)
                self._patches[key] = patches
            media.append(patches)
        return self._encode(example, media)

    def read_clip(self, example: Example, clip: Clip, view: View = ORDERED) -> Prompt:
        """Return the prompt of an example whose one medium is decoded already.

        Raises:
            PromptTooLong, DataError: see there.
        """
        (medium,) = example.media
        shown = self._view(clip, medium, example, view, step=0)
        return self._encode(example, [self.model.medium(medium.type, shown)])

    def _encode(self, example: Example, media: Sequence[Medium]) -> Prompt:
        return encode(example, media, self.prompt, self.model.tokenizer, self.model.family)

    def read_many(
        self, examples: Sequence[Example], view: View = ORDERED, step: int = 0
    ) -> list[Prompt | Unreadable]:
        """Return one result per example, in order; failures are values."""
        self.store.prefetch([m for e in examples for m in e.media])
        results: list[Prompt | Unreadable] = []
        for example in examples:
            try:
                results.append(self.read(example, view, step))
            except ClipError as error:
                results.append(Unreadable(example, error.reason, str(error)))
            except PromptTooLong as error:
                results.append(Unreadable(example, ExampleFault.PROMPT_TOO_LONG, str(error)))
            except DataError as error:
                results.append(Unreadable(example, ExampleFault.BAD_EXAMPLE, str(error)))
        return results

    def _medium(self, m: Media, example: Example, view: View, step: int) -> Medium:
        if view.kind is ViewKind.SHUFFLED and view.unit == "temporal_patch":
            ordered = self._patches.get((m, ORDERED)) or self._medium(m, example, ORDERED, step)
            if isinstance(ordered, Patches) and m.type is MediaType.VIDEO:
                key = (self.seed, example.id, step)
                return ordered.permuted(shuffle_order(ordered.grid[0], *key).tolist())
        clip = self._view(self.store.get(m), m, example, view, step)
        return self.model.medium(m.type, clip)

    def _view(self, clip: Clip, media: Media, example: Example, view: View, step: int) -> Clip:
        if media.type is MediaType.IMAGE and view.kind in (ViewKind.SHUFFLED, ViewKind.REVERSED):
            return clip  # an image has no order
        return apply_view(clip, view, self.seed, example.id, step)
