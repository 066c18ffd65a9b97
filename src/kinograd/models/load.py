"""Loading of checkpoints: weights, tokenizer, family and geometry."""

from __future__ import annotations

import copy
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor, AutoTokenizer
from transformers.utils import logging as transformers_logging

from kinograd.config.schema import ModelConfig
from kinograd.models.adapters import add_adapter
from kinograd.models.families import FAMILIES
from kinograd.models.families.other import OtherVL
from kinograd.models.family import Family
from kinograd.models.media import Medium
from kinograd.models.prefix import PrefixLM
from kinograd.models.replicated import ReplicatedLM
from kinograd.models.save import save_model
from kinograd.models.template import end_tokens
from kinograd.types import Clip, MediaType, UsageError
from kinograd.video.patches import Geometry

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class VideoLM:
    """A loaded checkpoint: weights, tokenizer, and the geometry of its patches."""

    lm: PrefixLM
    tokenizer: Any
    geometry: Geometry
    path: str
    """Local folder of the checkpoint."""

    @property
    def family(self) -> Family:
        return self.lm.family

    @property
    def shares_prefix(self) -> bool:
        """True if a group's prompt runs once, False if once per completion."""
        return self.lm.shares_prefix

    def medium(self, type: MediaType, clip: Clip) -> Medium:
        """Convert a clip, already under its view, to the form that prompts hold."""
        return self.family.medium(type, clip, self.geometry)

    @property
    def end_tokens(self) -> tuple[int, ...]:
        """Ids of all tokens that end a response."""
        return end_tokens(self.tokenizer, self.lm.model)

    def save(self, folder: Path) -> None:
        """Write a folder that loads wherever the source loaded; adapters are folded in."""
        save_model(self.lm.model, Path(self.path), folder)


def resolve_device(name: str) -> torch.device:
    """Return the device of that name; ``auto`` is the first GPU if there is one.

    Raises:
        UsageError: no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"model.device: {name!r} cannot be used here: {reason}") from None


def load(config: ModelConfig) -> VideoLM:
    """Load model, tokenizer and geometry; freeze and adapt as the config says.

    Weights are float32 where they are trained, whatever the compute type.

    Raises:
        UsageError: the folder holds no complete checkpoint, or one of an unknown
            architecture whose processor cannot be loaded; no such device; adapter targets
            that the model does not have.
    """
    folder, device = _local_folder(config.path), resolve_device(config.device)
    settings = _part(config.path, lambda: AutoConfig.from_pretrained(folder))
    transformers_logging.disable_progress_bar()  # Kinograd shows its own
    model, report = _part(
        config.path,
        lambda: AutoModelForImageTextToText.from_pretrained(
            folder, dtype=torch.float32, output_loading_info=True
        ),
    )
    if missing := sorted(report["missing_keys"]):
        raise UsageError(
            f"model.path: {config.path} lacks {len(missing)} of its weights ({missing[0]}, ...)"
        )
    family = _family(config.path, folder, settings)
    tokenizer = _part(config.path, lambda: AutoTokenizer.from_pretrained(folder))
    if tokenizer.eos_token_id is None or None in tokenizer.convert_ids_to_tokens(
        list(family.banned_tokens)
    ):
        raise UsageError(f"model.path: {config.path} holds no tokenizer that fits the model")
    model.to(device)
    if config.lora is not None:
        add_adapter(model, config.lora)
    family.tower(model).requires_grad_(config.train_vision)
    if config.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    kind = PrefixLM if settings.model_type in FAMILIES else ReplicatedLM
    lm = kind(model, family, getattr(torch, config.dtype))
    lm.train()
    return VideoLM(lm, tokenizer, family.geometry(_stored(folder)), folder)


def _local_folder(path: str) -> str:
    """Return the folder of a checkpoint, given as path or as name in the hub's local cache."""
    if (Path(path) / "config.json").is_file():
        return path
    if not Path(path).exists():
        try:
            return snapshot_download(path, local_files_only=True)
        except (LocalEntryNotFoundError, HFValidationError):
            pass
    raise UsageError(
        f"model.path: {path} holds no checkpoint (no config.json), nor does the local hub cache "
        "have a model of that name; nothing is downloaded here"
    )


def _part(path: str, read: Callable[[], Any]) -> Any:
    """Call ``read``; turn its failure into a UsageError with transformers' first line."""
    try:
        return read()
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UsageError(f"model.path: {path} cannot be loaded: {reason}") from error


def frozen_copy(lm: PrefixLM) -> PrefixLM:
    """Copy a model as KL's reference; a frozen vision tower is shared with the copy."""
    tower = lm.family.tower(lm.model)
    memo = {id(tower): tower} if lm.tower_frozen else {}
    copied = type(lm)(copy.deepcopy(lm.model, memo), lm.family, lm.dtype)
    copied.requires_grad_(False)
    if lm.tower_frozen:
        copied.share_features(lm)
    return copied


def read_geometry(path: str) -> Geometry:
    """Return a checkpoint's geometry from its configuration; no weights are read.

    Raises:
        UsageError: there is no such checkpoint, or its processor cannot be loaded.
    """
    folder = _local_folder(path)
    settings = _part(path, lambda: AutoConfig.from_pretrained(folder))
    return _family(path, folder, settings).geometry(_stored(folder))


def _stored(folder: str) -> dict[str, Any]:
    """Read the checkpoint's image processor file; empty if it has none."""
    file = Path(folder) / "preprocessor_config.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def _family(path: str, folder: str, settings: Any) -> Family:
    """Return the registered family, or the fallback, which replicates rows, with a warning."""
    name = settings.model_type
    if name in FAMILIES:
        return FAMILIES[name](settings)
    try:
        processor = AutoProcessor.from_pretrained(folder, backend="pil")
    except (ImportError, OSError, ValueError, AttributeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UsageError(
            f"model.path: {path} is a {name!r} model, for which Kinograd needs the checkpoint's "
            f"own processor, and that cannot be loaded: {reason}"
        ) from error
    log.warning(
        "%s is a %r model, which Kinograd has no family for: it runs as replicated rows (prompt "
        "and pixels again for each completion), and a video is given as single images. Shared "
        "prefixes: %s",
        *(path, name, ", ".join(FAMILIES)),
    )
    return OtherVL(settings, processor, path)
