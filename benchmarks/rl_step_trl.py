"""TRL's GRPOTrainer on its image path, with as many vision tokens as the video step.

TRL 1.16 ignores videos in GRPO without a word, so the comparison gives it a clip's frames
as images: eight of 448 x 224 pixels are 1,024 tokens, as 16 frames of a video are.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np


def _rows(images: int):
    """Two equal prompts with random pictures of 448 x 224 pixels, 128 tokens each."""
    from datasets import Dataset
    from PIL import Image

    rng = np.random.default_rng(0)
    pictures = [
        Image.fromarray(rng.integers(0, 255, (224, 448, 3), dtype=np.uint8)) for _ in range(images)
    ]
    text = [{"role": "user", "content": "which colour comes first " * 6}]
    return Dataset.from_list([{"prompt": text, "images": pictures}] * 2)


def _config(folder: str, g: int, c: int, beta: float):
    from trl import GRPOConfig

    return GRPOConfig(
        output_dir=folder,
        per_device_train_batch_size=g,
        num_generations=g,
        max_completion_length=c,
        beta=beta,
        max_steps=2,
        learning_rate=1e-9,
        use_cpu=True,
        bf16=False,
        report_to=[],
        save_strategy="no",
        generation_kwargs={"min_new_tokens": c},
    )


def trl_step_seconds(size: str, v: int, g: int, c: int, beta: float) -> float:
    """Seconds of the second optimizer step (the first one warms up)."""
    import torch
    from transformers import (
        AutoTokenizer,
        ProcessorMixin,
        Qwen2_5_VLForConditionalGeneration,
        TrainerCallback,
    )
    from transformers.models.qwen2_5_vl.processing_qwen2_5_vl import Qwen2_5_VLProcessor
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import (
        Qwen2VLImageProcessorPil,
    )
    from trl import GRPOTrainer

    from kinograd.synthetic.tiny_model import make_tiny

    class ImageProcessor(Qwen2_5_VLProcessor):
        """Qwen2.5-VL's processor without its video half, which needs torchvision."""

        def __init__(self, image_processor=None, tokenizer=None, chat_template=None, **_):
            self.image_token, self.video_token = "<|image_pad|>", "<|video_pad|>"
            ids = tokenizer.convert_tokens_to_ids([self.image_token, self.video_token])
            self.image_token_id, self.video_token_id = ids
            ProcessorMixin.__init__(self, image_processor, tokenizer, chat_template=chat_template)

        @classmethod
        def get_attributes(cls):
            return ["image_processor", "tokenizer"]

    class Clock(TrainerCallback):
        def __init__(self):
            self.seconds: list[float] = []

        def on_step_begin(self, *_, **__):
            self.began = time.perf_counter()

        def on_step_end(self, *_, **__):
            self.seconds.append(time.perf_counter() - self.began)

    with tempfile.TemporaryDirectory() as folder:
        make_tiny(Path(folder) / "model", size)
        tokenizer = AutoTokenizer.from_pretrained(f"{folder}/model")
        model = Qwen2_5_VLForConditionalGeneration.from_pretrained(
            f"{folder}/model", dtype=torch.float32
        )
        model.generation_config.eos_token_id = None  # every rollout c tokens long
        processor = ImageProcessor(
            Qwen2VLImageProcessorPil.from_pretrained(f"{folder}/model"),
            tokenizer,
            chat_template=tokenizer.chat_template,
        )
        clock = Clock()
        GRPOTrainer(
            model=model,
            reward_funcs=lambda completions, **_: [float(i) for i in range(len(completions))],
            args=_config(f"{folder}/out", g, c, beta),
            train_dataset=_rows(v // 128),
            processing_class=processor,
            callbacks=[clock],
        ).train()
    return clock.seconds[-1]
