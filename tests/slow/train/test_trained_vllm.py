"""vLLM answers as Kinograd does with the model that a run has saved."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

# In a process of its own: vLLM binds threads and installs handlers for good. The frames go
# in as they are (no sampling), with the rate from which vLLM derives M-RoPE's seconds.
ANSWER = """
import json, sys
import numpy as np
from vllm import LLM, SamplingParams

folder, asked = sys.argv[1], json.load(sys.stdin)
llm = LLM(model=folder, dtype="float32", enforce_eager=True, max_model_len=1024,
          limit_mm_per_prompt={"image": 0, "video": 1}, skip_mm_profiling=True)
requests = []
for one in asked:
    frames = np.array(one["frames"], dtype=np.uint8)
    about = {"fps": one["fps"], "duration": len(frames) / one["fps"],
             "total_num_frames": len(frames), "frames_indices": list(range(len(frames))),
             "video_backend": "numpy", "do_sample_frames": False}
    requests.append({"prompt_token_ids": one["prompt"],
                     "multi_modal_data": {"video": (frames, about)}})
greedy = SamplingParams(max_tokens=24, temperature=0.0, logprobs=0)
answers = []
for done in llm.generate(requests, greedy):
    said = done.outputs[0]
    answers.append({
        "prompt": list(done.prompt_token_ids),
        "tokens": list(said.token_ids),
        "logprobs": [step[t].logprob for step, t in zip(said.logprobs, said.token_ids)],
    })
print(json.dumps(answers))
"""


@pytest.mark.slow
@pytest.mark.vllm
def test_greedy_answers_of_a_trained_model_are_vllms(
    recipe: Callable[..., Any], world: Path
) -> None:
    from kinograd.config.rollout import InProcess, SamplingConfig
    from kinograd.config.schema import ModelConfig, OptimConfig
    from kinograd.datasets.jsonl import read_examples
    from kinograd.models.load import load
    from kinograd.models.reader import Reader
    from kinograd.rollout.engine import Request
    from kinograd.rollout.in_process import InProcessEngine
    from kinograd.train.batching import TrainCompletion, TrainItem
    from kinograd.train.learner import Learner
    from kinograd.train.sft import train_sft
    from kinograd.types import ORDERED
    from kinograd.video.clip_store import ClipStore

    lora = {"rank": 8, "targets": ["q_proj", "k_proj", "v_proj", "gate_proj", "down_proj"]}
    config = recipe(
        "sft",
        {
            "model": {"train_vision": True, "lora": lora},
            "sft": {"steps": 40, "batch_size": 12},
            "optim": {"lr": 1e-2},
            "run": {"save_every": 40},
        },
    )
    folder = train_sft(config)
    model = load(ModelConfig(path=str(folder), device="cpu"))
    examples = read_examples(world / "held_out.jsonl")[:5]
    with ClipStore(config.video, world, model.geometry.size_factor) as store:
        reader = Reader(model, store, config.prompt, seed=0)
        prompts = [reader.read(e) for e in examples]
        clips = [reader.clips(e)[0] for e in examples]
    ours = InProcessEngine(model, InProcess()).generate(
        [Request(e, ORDERED, p, 1) for e, p in zip(examples, prompts, strict=True)],
        SamplingConfig(max_new_tokens=24, temperature=0.0),
        key=(0,),
    )
    assert len({g.rollouts[0].text for g in ours}) > 1  # the clips make a difference

    pad = model.family.video_token
    asked = []
    for prompt, clip in zip(prompts, clips, strict=True):
        ids = prompt.input_ids.tolist()
        once = [t for i, t in enumerate(ids) if t != pad or ids[i - 1] != pad]  # vLLM expands it
        frames = clip.frames.transpose(0, 2, 3, 1).tolist()
        asked.append({"frames": frames, "fps": clip.fps, "prompt": once})
    done = subprocess.run(
        [sys.executable, "-c", ANSWER, str(folder)],
        input=json.dumps(asked),
        env=os.environ
        | {
            "VLLM_CPU_KVCACHE_SPACE": "1",
            "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
            "VLLM_NO_USAGE_STATS": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    theirs = json.loads(done.stdout.splitlines()[-1])
    spoken = [g.rollouts[0].token_ids for g in ours]
    tasks = [
        TrainItem(prompt, (TrainCompletion(ids, np.ones(len(ids), np.float32)),))
        for prompt, ids in zip(prompts, spoken, strict=True)
    ]
    # Over the whole vocabulary, as vLLM's; the engine's leave out placeholders.
    scores = Learner(model, OptimConfig(), total_steps=1).score(tasks)
    for prompt, ids, (score,), said in zip(prompts, spoken, scores, theirs, strict=True):
        assert said["prompt"] == prompt.input_ids.tolist()
        assert said["tokens"] == ids.tolist()
        np.testing.assert_allclose(said["logprobs"], score, atol=1e-4)
