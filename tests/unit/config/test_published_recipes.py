"""The recipes of published systems say what was published, and their debug twins little else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from kinograd.config.load import load_recipe
from kinograd.eval.benchmarks import find_benchmark, find_source

RECIPES = Path(__file__).resolve().parents[3] / "recipes"
NAMES = sorted(
    p.relative_to(RECIPES).with_suffix("").as_posix()
    for kind in ("sft", "rl", "eval")
    for p in (RECIPES / kind).glob("*.yaml")
)
PATCH = 28 * 28

# Typed from papers and released code, independently of the recipes; ``spec`` is the sampling
# contract that the video section resolves to.
QWEN25, QWEN2 = "Qwen/Qwen2.5-VL-7B-Instruct", "Qwen/Qwen2-VL-7B-Instruct"
SIXTEEN = {"spec.nframes": 16, "spec.max_pixels": 196 * PATCH}
VIDEO_R1_FRAMES = {
    "data.format": "video_r1",
    "spec.fps": 2.0,
    "spec.min_frames": 4,
    "spec.max_frames": 16,
    "spec.min_pixels": 128 * PATCH,
    "spec.image_max_pixels": 256 * PATCH,
    "prompt.template": "video_r1",
    "model.train_vision": True,
    "model.dtype": "bfloat16",
    "optim.lr": 1e-6,
    "optim.max_grad_norm": 5.0,
}
GRPO = {
    "rl.group_size": 8,
    "sampling.temperature": 1.0,
    "optim.lr": 1e-6,
    "algo.advantage": "group_std",
    "algo.aggregate": "sequence_mean",
    "algo.clip_low": None,
    "algo.clip_high": None,
    "algo.kl.estimator": "k3",
    "algo.epochs": 1,
    "algo.minibatches": 1,
    "model.dtype": "bfloat16",
}
DVD = {
    **GRPO,
    "data.format": "dvd_counting",
    "algo.type": "grpo",
    "algo.kl.beta": 0.04,
    "rl.reference": "frozen",
    "rl.steps": 900,
    "prompt.template": "dvd_counting",
    "prompt.max_tokens": 4096,
    "sampling.max_new_tokens": 512,
    "sampling.top_p": 1.0,
    "optim.max_grad_norm": 20.0,
    "spec.max_frames": 16,
    "spec.min_pixels": 128 * PATCH,
    "reward.mode": "published:dvd_counting",
    "reward.format": "fullmatch",
    "reward.combine": "sum",
}
VIDEO_R1_EVAL = {
    "model.path": QWEN25,
    "eval.format": "video_r1",
    "eval.sampling.temperature": 0.1,
    "eval.sampling.top_p": 0.001,
    "eval.sampling.max_new_tokens": 1024,
    "eval.batch_size": 64,
    "eval.views": ["ordered"],
    "prompt.template": "video_r1_eval",
    "prompt.mode": "reason",
    "prompt.max_tokens": 16384,
    "prompt.system": None,
    "reward.mode": "published:video_r1_eval",
    "reward.format": "off",
    "spec.fps": 2.0,
    "spec.max_pixels": 256 * PATCH,
}
PUBLISHED: dict[str, dict[str, Any]] = {
    "sft/video_r1_7b": {
        **VIDEO_R1_FRAMES,
        "model.path": QWEN25,
        "sft.epochs": 1,
        "sft.batch_size": 4 * 1 * 2,
        "prompt.system": "You are a helpful assistant",
    },
    "rl/video_r1_7b": {
        **VIDEO_R1_FRAMES,
        **GRPO,
        "algo.type": "video_r1",
        "algo.alpha": 0.3,
        "algo.mu": 0.8,
        "algo.gate": "ratio",
        "algo.gate_on": "accuracy",
        "algo.threshold": 0.1,
        "algo.bonus_on": "reward",
        "algo.twin_rollouts": None,  # half of the group
        "algo.shuffle_unit": "frame",
        "algo.kl.beta": 0.04,
        "algo.kl.clamp": 10.0,
        "rl.reference": "frozen",
        "rl.steps": 1000,
        "rl.prompts_per_step": 4,
        "run.save_every": 100,
        "prompt.max_tokens": 16384,
        "prompt.system": None,
        "sampling.max_new_tokens": 768,
        "sampling.top_p": 0.95,
        "optim.schedule": "cosine",
        "optim.weight_decay": 0.01,
        "reward.mode": "published:video_r1",
        "reward.format": "fullmatch",
        "reward.combine": "sum",
        "reward.correct_threshold": 0.1,
        "reward.length_bonus.value": 0.2,
        "reward.length_bonus.low": 320,
        "reward.length_bonus.high": 512,
        "reward.length_bonus.min_correct": 2,
    },
    "rl/open_r1_video_7b": {
        **GRPO,
        **SIXTEEN,
        "model.path": QWEN2,
        "data.format": "open_r1_video",
        "run.seed": 42,
        "run.save_every": 10,
        "algo.type": "open_r1_video",
        "algo.kl.beta": 0.1,
        "algo.kl.clamp": 11.0,
        "rl.reference": "frozen",
        "rl.prompts_per_step": 4,
        "rl.steps": 4000 // 4,
        "sampling.max_new_tokens": 256,
        "prompt.template": "open_r1_video",
        "prompt.max_tokens": 8192,
        "reward.mode": "published:open_r1_video",
        "reward.format": "off",
    },
    "rl/video_r1_dvd_counting_2b": {**DVD, "model.path": "Qwen/Qwen2-VL-2B-Instruct"},
    "rl/video_r1_dvd_counting_7b": {**DVD, "model.path": QWEN2},
    "rl/vidbridge_7b": {
        **GRPO,
        **SIXTEEN,
        "model.path": QWEN25,
        "data.format": "vidbridge",
        "run.seed": 42,
        "run.save_every": 50,
        "algo.type": "vidbridge",
        "algo.kl.beta": 0.0,
        "rl.prompts_per_step": 32,
        "rl.steps": -(-(1841 + 2332 + 2003 + 4624) // 32),
        "prompt.template": "vidbridge",
        "prompt.max_tokens": 8192,
        "sampling.max_new_tokens": 2048,
        "reward.mode": "published:vidbridge",
        "reward.format": "prefix",
        "reward.combine": "product",
        "reward.caption_precision": 0.5,
        "reward.caption_keywords": True,
        "judges.judge.prompts": "published",
        "judges.events.precision": "entailment",
    },
    "eval/video_r1_16": {**VIDEO_R1_EVAL, "spec.max_frames": 16},
    "eval/video_r1_32": {**VIDEO_R1_EVAL, "spec.max_frames": 32},
    "eval/video_r1_64": {**VIDEO_R1_EVAL, "spec.max_frames": 64},
    "eval/dvd_counting": {
        "model.path": QWEN2,
        "eval.format": "dvd_counting",
        "eval.batch_size": 64,
        "eval.sampling.temperature": 0.0,
        "eval.sampling.max_new_tokens": 256,
        "prompt.template": "dvd_counting_eval",
        "reward.mode": "published:dvd_counting_eval",
        "spec.max_frames": 16,
        "spec.min_pixels": 128 * PATCH,
    },
    "eval/open_r1_video": {
        **SIXTEEN,
        "model.path": QWEN2,
        "prompt.template": "open_r1_video",
        "reward.mode": "published:open_r1_video",
    },
    "eval/vidbridge": {
        "model.path": QWEN25,
        "eval.format": "vidbridge",
        "eval.sampling.temperature": 0.0,
        "eval.sampling.max_new_tokens": 2048,
        "prompt.template": "vidbridge",
        "spec.fps": 1.0,
        "spec.max_frames": 128,
        "spec.max_pixels": 196 * PATCH,
        "reward.mode": "published:vidbridge",
    },
}

# What a debug twin may change: where things lie, and how many and how large they are.
TWIN_KEYS = {
    *("run.dir", "model.path", "model.dtype", "data.train", "data.media_root", "eval.data"),
    *("video.min_pixels", "video.max_pixels", "video.workers", "judges"),
    *("rl.steps", "rl.prompts_per_step", "rl.group_size", "sft.batch_size"),
    *("sampling.max_new_tokens", "eval.sampling.max_new_tokens"),
}


def test_every_recipe_has_its_values_and_its_twin() -> None:
    assert sorted(PUBLISHED) == NAMES
    twins = {p.relative_to(RECIPES / "debug").with_suffix("").as_posix()
             for p in (RECIPES / "debug").glob("*/*.yaml")}  # fmt: skip
    assert sorted(twins) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_resolves_to_the_published_values(name: str) -> None:
    recipe = load_recipe([RECIPES / f"{name}.yaml"])
    resolved = recipe.model_dump() | {"spec": recipe.video.spec()}
    found = {key: value_at(resolved, key) for key in PUBLISHED[name]}
    assert found == PUBLISHED[name]


def test_reinforcement_goes_on_where_the_cold_start_of_all_its_rows_ends() -> None:
    sft = load_recipe([RECIPES / "sft/video_r1_7b.yaml"])
    steps = -(-165_575 // sft.sft.batch_size)
    found = load_recipe([RECIPES / "rl/video_r1_7b.yaml"]).model.path
    assert found == f"{sft.run.dir}/checkpoints/step-{steps}/model"


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_says_what_it_replicates(name: str) -> None:
    text = (RECIPES / f"{name}.yaml").read_text()
    if name in ("eval/video_r1_32", "eval/video_r1_64"):
        assert "eval/video_r1_16.yaml says" in text
        return
    assert f"kinograd {name.split('/')[0]} recipes/{name}.yaml" in text
    assert "# Published" in text or "Published figures" in text
    assert "# Differences: " in text
    assert "hf download " in text or "not released" in text
    if not name.startswith("eval/"):
        assert "# Original hardware: " in text


@pytest.mark.parametrize("name", NAMES)
def test_a_twin_differs_from_its_original_in_sizes_and_places_alone(name: str) -> None:
    original, twin = RECIPES / f"{name}.yaml", RECIPES / "debug" / f"{name}.yaml"
    assert load_recipe([original, twin]).run.dir == f"runs/debug/{name}"
    assert set(keys(yaml.safe_load(twin.read_text()))) <= TWIN_KEYS
    assert f"recipes/{name}.yaml recipes/debug/{name}.yaml" in twin.read_text()


@pytest.mark.parametrize("name", [n for n in NAMES if n.startswith("eval/")])
def test_evaluations_have_both_modes_and_published_figures(name: str) -> None:
    recipe = load_recipe([RECIPES / f"{name}.yaml"], ["prompt.mode=direct"])
    assert recipe.prompt.mode == "direct"
    assert find_source(recipe.eval.published)
    for file in recipe.eval.data:
        assert find_benchmark(Path(file).stem).published[recipe.eval.published]


def test_the_guide_names_every_recipe_and_converts_longvideobench(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guide = (RECIPES.parent / "docs" / "guide" / "recipes.md").read_text()
    stems = {name.rsplit("_", 1)[0] if name[-2:] in ("2b", "32", "64") else name for name in NAMES}
    assert [name for name in stems if f"`{name}" not in guide] == []
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "data" / "LongVideoBench"
    folder.mkdir(parents=True)
    asked = {"question": "What follows?", "video_path": "a.mp4", "correct_choice": 1}
    by_column = {f"option{i}": o for i, o in enumerate(["rain", "snow", "N/A", "N/A", "N/A"])}
    rows = [asked | {"candidates": ["rain", "snow"]}, asked | by_column]
    (folder / "lvb_val.json").write_text(json.dumps(rows))
    exec(guide.split("```python\n")[1].split("```")[0], {})
    found = (folder / "longvideobench.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in found] == 2 * [{
        "problem": "What follows?\nA. rain\nB. snow",
        "solution": "<answer>B.</answer>",
        "video": "videos/a.mp4",
    }]  # fmt: skip


def value_at(tree: Any, key: str) -> Any:
    for name in key.split("."):
        tree = tree[name] if isinstance(tree, dict) else getattr(tree, name)
    return tree


def keys(tree: dict[str, Any], prefix: str = "") -> list[str]:
    """Dotted keys of the leaves; judges are one."""
    found: list[str] = []
    for key, value in tree.items():
        deep = isinstance(value, dict) and key != "judges"
        found += keys(value, f"{prefix}{key}.") if deep else [f"{prefix}{key}"]
    return found
