"""Tiny Qwen2.5-VL models from scratch: weights, tokenizer and processor files in one folder.

The folder is an ordinary checkpoint for transformers and vLLM; only the sizes differ from
Qwen2.5-VL's architecture (Bai et al. 2025, arXiv 2502.13923).

The tokenizer is byte-level BPE without merges: words of the synthetic world and the prompt
templates are single tokens, and so are the think and answer tags; other text falls back to bytes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kinograd.files import follow_umask
from kinograd.kinds import KINDS
from kinograd.prompts import REASON
from kinograd.synthetic.vocabulary import words as synthetic_words
from kinograd.types import UsageError

SPECIAL_TOKENS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
TAG_TOKENS = ("<think>", "</think>", "<answer>", "</answer>")

# Qwen2's splitting of text into words, spaces and marks before BPE.
_PRETOKENIZE = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

# As Qwen2.5-VL's, without its default system turn (25 tokens that teach a tiny model nothing).
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' or 'image' in part %}"
    "<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif part['type'] == 'video' or 'video' in part %}"
    "<|vision_start|><|video_pad|><|vision_end|>"
    "{% elif 'text' in part %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}"
    "<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@dataclass(frozen=True, slots=True)
class TinySize:
    """Widths of one tiny model; heads are 32 to 64 wide in both towers."""

    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    vision_hidden: int
    vision_intermediate: int
    vision_depth: int
    vision_heads: int
    full_attention_blocks: tuple[int, ...]

    @property
    def mrope_section(self) -> list[int]:
        """Rotary frequencies for time, height and width: 1/4, 3/8, 3/8 as in Qwen2.5-VL."""
        half = self.hidden // self.heads // 2
        height = 3 * half // 8
        return [half - 2 * height, height, height]

    @property
    def init_std(self) -> float:
        """0.06 at width 128, where 0.02 learns visibly slower; other widths by 1/sqrt(width)."""
        return 0.06 * math.sqrt(128 / self.hidden)


SIZES: dict[str, TinySize] = {
    "0.8m": TinySize(128, 320, 3, 4, 2, 64, 160, 2, 2, (1,)),
    "2m": TinySize(192, 512, 4, 6, 2, 96, 256, 3, 3, (2,)),
    "5m": TinySize(256, 704, 6, 8, 2, 128, 344, 4, 4, (3,)),
    "S": TinySize(384, 1152, 6, 6, 2, 192, 512, 4, 3, (3,)),
    "L": TinySize(512, 1536, 8, 8, 2, 256, 688, 6, 4, (2, 5)),
    "60m": TinySize(640, 1920, 10, 10, 2, 384, 1024, 8, 6, (3, 7)),
}
"""By name: about 0.8, 2, 5, 13 (S), 31 (L) and 60 million parameters."""


def make_tiny(
    folder: str | Path, size: str, seed: int = 0, extra_words: Iterable[str] = ()
) -> None:
    """Write a randomly initialised checkpoint to ``folder`` (float32, tied embeddings).

    The same arguments give the same bytes of weights. ``extra_words`` become single tokens
    beside the synthetic world's words.

    Raises:
        UsageError: unknown size.
    """
    import torch
    from transformers import Qwen2_5_VLForConditionalGeneration
    from transformers.utils import logging

    if size not in SIZES:
        raise UsageError(f"unknown tiny model size {size!r}; one of {', '.join(SIZES)}")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    forms = [kind.answer_form for kind in KINDS.values()]
    texts = ["user", "assistant", "system", *REASON.values(), *forms]
    for word in [*synthetic_words(), *extra_words]:
        texts += [word, " " + word]
    ids = _write_tokenizer(folder, texts)
    _write_processor(folder)

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Qwen2_5_VLForConditionalGeneration(model_config(size, ids))
    model.generation_config.eos_token_id = ids["<|im_end|>"]
    model.generation_config.pad_token_id = ids["<|endoftext|>"]
    bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    model.save_pretrained(folder)
    follow_umask(folder)
    if bars:
        logging.enable_progress_bar()


def model_config(size: str, ids: dict[str, int]) -> Any:
    """Make the ``Qwen2_5_VLConfig`` of a named size for a vocabulary of token to id."""
    from transformers import Qwen2_5_VLConfig

    s = SIZES[size]
    return Qwen2_5_VLConfig(
        text_config={
            "vocab_size": len(ids),
            "hidden_size": s.hidden,
            "intermediate_size": s.intermediate,
            "num_hidden_layers": s.layers,
            "num_attention_heads": s.heads,
            "num_key_value_heads": s.kv_heads,
            "max_position_embeddings": 32768,
            "initializer_range": s.init_std,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10000.0,
                "mrope_section": s.mrope_section,
            },
            "bos_token_id": ids["<|endoftext|>"],
            "eos_token_id": ids["<|im_end|>"],
            "pad_token_id": ids["<|endoftext|>"],
            "tie_word_embeddings": True,
        },
        vision_config={
            "depth": s.vision_depth,
            "hidden_size": s.vision_hidden,
            "intermediate_size": s.vision_intermediate,
            "num_heads": s.vision_heads,
            "out_hidden_size": s.hidden,
            "fullatt_block_indexes": list(s.full_attention_blocks),
            "initializer_range": s.init_std,
            "window_size": 112,
            "patch_size": 14,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "tokens_per_second": 2,
        },
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=True,
    )


def _write_tokenizer(folder: Path, texts: Iterable[str]) -> dict[str, int]:
    """Write tokenizer.json, every piece of ``texts`` one token, and its settings; token to id."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    split = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(_PRETOKENIZE), behavior="isolated"), byte_level]
    )
    pieces = [*sorted(pre_tokenizers.ByteLevel.alphabet()), "Ċ", "ĊĊ"]
    for text in texts:
        pieces += [piece for piece, _ in split.pre_tokenize_str(text)]
    vocabulary = {piece: i for i, piece in enumerate(dict.fromkeys(pieces))}

    # ignore_merges: a piece that is in the vocabulary is one token; any other is its bytes.
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], ignore_merges=True))
    tokenizer.pre_tokenizer = split
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(t, special=True) for t in SPECIAL_TOKENS])
    tokenizer.add_tokens([AddedToken(t, normalized=False) for t in TAG_TOKENS])
    tokenizer.save(str(folder / "tokenizer.json"))
    _write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "processor_class": "Qwen2_5_VLProcessor",
            "bos_token": None,
            "eos_token": "<|im_end|>",
            "pad_token": "<|endoftext|>",
            "unk_token": None,
            "additional_special_tokens": list(SPECIAL_TOKENS[1:]),
            "model_max_length": 32768,
            "clean_up_tokenization_spaces": False,
            "chat_template": CHAT_TEMPLATE,
        },
    )
    return tokenizer.get_vocab(with_added_tokens=True)


def _write_processor(folder: Path) -> None:
    """Processor settings as files; the classes themselves would import torchvision."""
    shared: dict[str, Any] = {
        "processor_class": "Qwen2_5_VLProcessor",
        "patch_size": 14,
        "temporal_patch_size": 2,
        "merge_size": 2,
        "size": {"shortest_edge": 28 * 28, "longest_edge": 768 * 28 * 28},
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
    }
    image = {"image_processor_type": "Qwen2VLImageProcessor"}
    video = {"video_processor_type": "Qwen2VLVideoProcessor", "cap_pixels_per_frame": False}
    _write_json(folder / "preprocessor_config.json", image | shared)
    _write_json(folder / "video_preprocessor_config.json", video | shared)
    _write_json(folder / "chat_template.json", {"chat_template": CHAT_TEMPLATE})


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
