"""``kinograd data cache`` and ``data export render=`` on files as a user has them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from kinograd.cli import build_app
from kinograd.synthetic.mp4_writer import write_mp4
from kinograd.types import KinogradError, UsageError


def brightening(frames: int, height: int, width: int) -> np.ndarray:
    """uint8 (T, H, W, 3): one brightness per frame."""
    levels = np.linspace(0, 255, frames).astype(np.uint8)
    return np.broadcast_to(levels[:, None, None, None], (frames, height, width, 3)).copy()


def row(number: int, path: str, **more) -> dict:
    media = [{"type": "video", "path": path}]
    base = {"id": f"q/{number}", "kind": "free_form", "question": "?", "answer": "yes"}
    return base | {"media": media} | more


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """A media root of three clips of 64 x 128 pixels."""
    root = tmp_path / "clips"
    root.mkdir()
    for number in range(3):
        write_mp4(root / f"store_{number}.mp4", brightening(16 + number, 64, 128), fps=10)
    return root


@pytest.fixture
def project(clips: Path, tmp_path: Path) -> Path:
    """A recipe, its data and a checkpoint's configuration."""
    cut = [{"path": "store_0.mp4", "end": 0.5}, {"black": 0.4}]
    rows = [row(i, f"store_{i}.mp4") for i in range(3)]
    rows.append(row(3, "", media=[{"type": "video", "cut": cut}]))
    text = "".join(json.dumps(r) + "\n" for r in rows)
    (tmp_path / "train.jsonl").write_text(text)
    (tmp_path / "broken.jsonl").write_text(json.dumps(row(9, "missing.mp4")) + "\n")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text(json.dumps({"model_type": "qwen3_vl"}))
    recipe = {
        "method": "rl",
        "run": {"dir": str(tmp_path / "run")},
        "model": {"path": str(tmp_path / "model")},
        "data": {"train": [str(tmp_path / "train.jsonl")], "media_root": str(clips)},
        "rl": {"steps": 1},
        "video": {
            "nframes": 8,
            "min_pixels": 1,
            "max_pixels": 1 << 16,
            "cache_dir": str(tmp_path / "cache"),
        },
    }
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    return tmp_path


def run(*words: object) -> str:
    line = ["data", *map(str, words)]
    done = CliRunner().invoke(build_app(line), line, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_warm_then_stats_then_clear(project):
    recipe = project / "recipe.yaml"
    assert "0 clips" in run("cache", "stats", recipe)
    assert "4 clips cached, 4 of them new" in run("cache", "warm", recipe)
    assert "4 clips cached, 0 of them new" in run("cache", "warm", recipe, "video.workers=0")
    assert "4 clips" in run("cache", "stats", recipe)
    assert "deleted 4 clips" in run("cache", "clear", recipe)
    assert "0 clips" in run("cache", "stats", recipe)


def test_the_model_s_patch_grid_decides_the_size(project):
    from kinograd.video.disk import DiskCache

    run("cache", "warm", project / "recipe.yaml")
    cache = DiskCache(project / "cache", 1 << 30, jpeg=False, claim_s=60)
    (file, *_) = (project / "cache").rglob("*.safetensors")
    clip = cache.load(file.name.split(".")[0])
    assert clip.frames.shape[2:] == (64, 128)  # multiples of 32, Qwen3-VL's


def test_what_cannot_be_decoded_fails_the_command(project):
    with pytest.raises(KinogradError, match="1 clips cannot be decoded"):
        run("cache", "warm", project / "recipe.yaml", f"data.train=[{project}/broken.jsonl]")


def test_a_recipe_without_a_cache_is_a_usage_error(project):
    for verb in ("stats", "clear", "warm"):
        with pytest.raises(UsageError, match="video.cache_dir"):
            run("cache", verb, project / "recipe.yaml", "video.cache_dir=null")


def test_export_renders_every_video(project, clips):
    out = project / "rendered"
    run("export", project / "train.jsonl", f"render={out}", f"media_root={clips}")
    assert sorted(f.name for f in out.iterdir()) == [f"q_{i}.mp4" for i in range(4)]
    assert all(f.stat().st_size > 500 for f in out.iterdir())
    few = project / "few"
    where = f"media_root={clips}"
    run("export", project / "train.jsonl", f"render={few}", where, "limit=1")
    assert len(list(few.iterdir())) == 1


def test_messages_without_cuts_name_the_rendered_files(project, clips):
    rows = [row(4, "store_0.mp4"), row(5, "missing.mp4")]
    for one in rows:
        one |= {"kind": "mix_vid", "media": [{"type": "video", "cut": [*media(one), {"black": 1}]}]}
    twins = [rows[0] | {"id": name} for name in ("q/6", "q_6")]
    source, out = project / "cuts.jsonl", project / "out.jsonl"
    source.write_text("".join(json.dumps(r) + "\n" for r in [*rows, *twins]))
    words = ["export", source, "-o", out, "format=messages", f"media_root={clips}"]
    with pytest.raises(KinogradError, match="missing.mp4"):
        run(*words, f"render={clips}/cuts")
    videos = [json.loads(line)["videos"] for line in out.read_text().splitlines()]
    assert videos == [["cuts/q_4.mp4"], ["cuts/q_6.mp4"], ["cuts/q_6-3.mp4"]]
    assert all((clips / video).is_file() for (video,) in videos)
    with pytest.raises(UsageError, match="is outside"):
        run(*words, f"render={project}/cuts")
    with pytest.raises(UsageError, match="not one of auto"):
        run("export", source, "-o", out, "format=x", f"render={clips}/cuts")


def media(one: dict) -> list[dict]:
    return [{"path": m["path"], "end": 0.5} for m in one["media"]]
