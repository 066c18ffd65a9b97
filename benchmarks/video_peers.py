"""The peer of the video benchmark: qwen-vl-utils with decord and the Hugging Face processor.

Runs in an environment of its own, made below build/ on first use, because it needs
torchvision and decord, which Kinograd does not. Used by ``video_pipeline.py``:

    python video_peers.py RUNS CLIP...      prints {clip: milliseconds or why not, ...}

What is timed is what a user calls: ``process_vision_info`` and then the processor with
``do_resize=False`` (it would resize a second time otherwise), for 16 frames of at most
128 x 28 x 28 pixels.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import venv
from importlib.metadata import version
from pathlib import Path

PACKAGES = ["qwen-vl-utils==0.0.14", "decord==0.6.0"]
ELEMENT = {
    "type": "video",
    "fps": 2.0,
    "min_frames": 4,
    "max_frames": 16,
    "min_pixels": 128 * 28 * 28,
    "max_pixels": int(128 * 28 * 28 * 1.05),
}


def environment() -> Path:
    """The peer's interpreter: our packages plus its own, installed without dependencies."""
    folder = Path(__file__).parent.parent / "build" / "video-peers"
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        venv.create(folder, with_pip=True, clear=True)
        (site,) = folder.glob("lib/python*/site-packages")
        ours = [p for p in sys.path if p.endswith("site-packages")]
        (site / "ours.pth").write_text("\n".join(ours) + "\n")
        minor = int(version("torch").split(".")[1])
        vision = f"torchvision==0.{minor + 15}.*"  # the release that belongs to torch 2.minor
        pip = [str(python), "-m", "pip", "install", "--quiet"]
        subprocess.run([*pip, "--no-deps", vision, *PACKAGES], check=True)
        subprocess.run([*pip, "requests"], check=True)
        (folder / "ready").touch()
    return python


def milliseconds(runs: int, clips: list[str]) -> dict[str, float | str] | str:
    """Best of ``runs`` per clip; a sentence if the peer cannot be run."""
    try:
        command = [str(environment()), str(Path(__file__)), str(runs), *clips]
        env = {**os.environ, "FORCE_QWENVL_VIDEO_READER": "decord"}
        done = subprocess.run(command, capture_output=True, text=True, env=env, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        tail = str(getattr(error, "stderr", "") or error).strip().splitlines()[-1:]
        return f"not measured: {' '.join(tail)}"
    return json.loads(done.stdout.splitlines()[-1])


def _declare_operators() -> object:
    """A torchvision without its compiled operators imports once these two are declared."""
    import torch

    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, name):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return library


def main() -> None:
    kept = _declare_operators()
    import torch
    from qwen_vl_utils import process_vision_info
    from transformers.models.qwen2_vl.video_processing_qwen2_vl import Qwen2VLVideoProcessor

    torch.set_num_threads(1)
    processor = Qwen2VLVideoProcessor(cap_pixels_per_frame=False)
    best: dict[str, float | str] = {}
    for clip in sys.argv[2:] * int(sys.argv[1]):
        messages = [{"role": "user", "content": [ELEMENT | {"video": clip}]}]
        began = time.perf_counter()
        try:
            _, videos = process_vision_info(messages)
            processor(videos=videos, do_resize=False, do_sample_frames=False, return_tensors="pt")
        except Exception as error:  # noqa: BLE001 - that a peer cannot read a clip is a result
            best[clip] = f"failed: {type(error).__name__}"
            continue
        best[clip] = min(best.get(clip, float("inf")), (time.perf_counter() - began) * 1e3)
    del kept
    print(json.dumps(best))


if __name__ == "__main__":
    main()
