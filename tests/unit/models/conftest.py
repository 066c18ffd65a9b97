"""Tiny random checkpoints of architectures that Kinograd has no adapter for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import (
    AutoTokenizer,
    CLIPImageProcessorPil,
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    Idefics3ImageProcessorPil,
    Idefics3Processor,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
)

from kinograd.synthetic.tiny_model import make_tiny

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% for part in m['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TEXT = {"hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 2, "head_dim": 16}
TEXT |= {"num_attention_heads": 3, "num_key_value_heads": 1, "max_position_embeddings": 2048}
VISION = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
VISION |= {"num_attention_heads": 2, "image_size": 28, "patch_size": 7}


def make_other(folder: Path, name: str) -> Path:
    """``idefics3`` (splits images, pads them) or ``llava``; weights are random, seed 0."""
    make_tiny(folder, "0.8m")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    for file in ("preprocessor_config.json", "video_preprocessor_config.json"):
        (folder / file).unlink()
    (folder / "chat_template.json").unlink()
    marks = ["<image>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>"]
    marks += [f"<row_{r}_col_{c}>" for r in range(1, 5) for c in range(1, 5)]
    tokenizer.add_special_tokens({"additional_special_tokens": marks})
    ids = {"image_token_id": tokenizer.convert_tokens_to_ids("<image>")}
    text = TEXT | {"vocab_size": len(tokenizer), "model_type": "llama", "pad_token_id": None}
    torch.manual_seed(0)
    if name == "idefics3":
        size = {"longest_edge": 56}
        images = Idefics3ImageProcessorPil(size=size, max_image_size={"longest_edge": 28})
        processor = Idefics3Processor(images, tokenizer, image_seq_len=4, chat_template=TEMPLATE)
        config = Idefics3Config(
            text_config=text, vision_config=VISION, scale_factor=2, pad_token_id=0, **ids
        )
        model = Idefics3ForConditionalGeneration(config)
    else:
        images = CLIPImageProcessorPil(
            size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}
        )
        processor = LlavaProcessor(
            images, tokenizer, 7, "default", TEMPLATE, num_additional_image_tokens=1
        )
        vision = VISION | {"model_type": "clip_vision_model", "projection_dim": 32}
        config = LlavaConfig(text_config=text, vision_config=vision, **ids)
        model = LlavaForConditionalGeneration(config)
    for p in model.parameters():
        torch.nn.init.normal_(p, std=0.08) if p.ndim > 1 else None
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def other(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """``other("llava")``: the folder of that checkpoint, made once."""
    made: dict[str, Path] = {}

    def folder(name: str) -> Path:
        if name not in made:
            made[name] = make_other(tmp_path_factory.mktemp(name), name)
        return made[name]

    return folder
