"""vLLM loads a tiny checkpoint as it is and agrees with Kinograd on every token."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

# In a process of its own: vLLM binds threads and installs handlers for good. Clips are 4
# temporal patches of 2 x 2 tokens: longer than wide, where M-RoPE's rules disagree.
SCORE = """
import json, sys
import numpy as np
from vllm import LLM, SamplingParams

folder, asked = sys.argv[1], json.load(sys.stdin)
frames = np.array(asked["frames"], dtype=np.uint8)
about = {"fps": 2.0, "duration": 4.0, "total_num_frames": 8, "frames_indices": list(range(8)),
         "video_backend": "numpy", "do_sample_frames": False}
llm = LLM(model=folder, dtype="float32", enforce_eager=True, max_model_len=1024,
          limit_mm_per_prompt={"image": 0, "video": 1}, skip_mm_profiling=True)
requests = [{"prompt_token_ids": asked["prompt"] + completion,
             "multi_modal_data": {"video": (frames, about)}} for completion in asked["completions"]]
scored = []
for done, completion in zip(
    llm.generate(requests, SamplingParams(max_tokens=1, prompt_logprobs=0)), asked["completions"]
):
    tail = done.prompt_logprobs[-len(completion):]
    scored.append([p[t].logprob for p, t in zip(tail, completion)])
print(json.dumps({"prompt": done.prompt_token_ids[:-len(completion)], "logprobs": scored}))
"""


@pytest.mark.slow
@pytest.mark.vllm
def test_vllm_and_kinograd_agree_on_every_token(tmp_path: Path) -> None:
    import torch

    from kinograd.config.schema import ModelConfig, PromptConfig, VideoConfig
    from kinograd.models.load import load
    from kinograd.models.media import to_patches
    from kinograd.models.prompt import encode
    from kinograd.synthetic.tiny_model import make_tiny
    from kinograd.types import Cut, Example, Kind, Media, MediaType
    from kinograd.video.images import clip_from_frames

    make_tiny(tmp_path, "0.8m", seed=3)
    model = load(ModelConfig(path=str(tmp_path), device="cpu"))
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (8, 56, 56, 3), dtype=np.uint8)
    video = VideoConfig(nframes=8, min_pixels=784, max_pixels=3136)
    patches = to_patches(
        MediaType.VIDEO, clip_from_frames(frames, 2.0, video.spec()), model.geometry
    )
    medium = Media(MediaType.VIDEO, Cut.whole("a.mp4"))
    example = Example("a", Kind.FREE_FORM, "Which happens first?", "the ball", (medium,))
    prompt = encode(
        example, [patches], PromptConfig(template="plain"), model.tokenizer, model.family
    )
    completions = rng.integers(20, 250, (1, 4, 12))  # any text
    with torch.no_grad():
        ours, _ = model.lm.logprobs(
            model.lm.prefix([prompt]),
            torch.from_numpy(completions),
            torch.ones(completions.shape, dtype=torch.bool),
        )

    ids = prompt.input_ids.tolist()
    pad = model.family.video_token
    once = [t for i, t in enumerate(ids) if t != pad or ids[i - 1] != pad]  # vLLM expands it
    asked = {
        "frames": frames.tolist(),
        "prompt": once,
        "completions": completions[0].tolist(),
    }
    environment = os.environ | {
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "VLLM_NO_USAGE_STATS": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", SCORE, str(tmp_path)],
        input=json.dumps(asked),
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["prompt"] == ids
    np.testing.assert_allclose(ours.view(4, 12).numpy(), said["logprobs"], atol=1e-4)
