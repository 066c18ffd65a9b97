"""Writes the reference values beside this file from the published packages themselves.

Run it in an environment of its own, never in the project's:

    pip install qwen-vl-utils==0.0.14 torch==2.13.0 torchvision==0.28.0 transformers==5.19.0
    PYTHONPATH=src python tests/unit/video/reference/make_reference.py

A torchvision without compiled operators is enough: the two that its import asks for are
declared here.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import sys
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).parent


def declare_torchvision_operators() -> None:
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    globals()["_library"] = library


def sampling() -> dict:
    import qwen_vl_utils.vision_process as published

    frames, resizes, sizes = [], [], []
    specs = [
        {"fps": fps, "min_frames": low, "max_frames": high}
        for fps, (low, high) in itertools.product(
            (0.5, 1.0, 2.0, 4.0, 30.0), ((4, 16), (4, 768), (5, 33), (8, 128))
        )
    ] + [{"nframes": n} for n in (1, 2, 7, 8, 15, 16, 32, 63, 64)]
    counts = (1, 2, 3, 5, 7, 16, 17, 100, 224, 491, 900, 1000, 107892)
    for spec, count, rate in itertools.product(specs, counts, (8.0, 22.29, 59.94)):
        try:
            n = published.smart_nframes(dict(spec), total_frames=count, video_fps=rate)
        except ValueError:
            frames.append([spec, count, rate, None, None])
            continue
        index = torch.linspace(0, count - 1, n).round().long().tolist()
        digest = hashlib.sha256(json.dumps(index).encode()).hexdigest()[:16]
        frames.append([spec, count, rate, n, index if n <= 8 else digest])
    shapes = list(itertools.product((4, 27, 56, 180, 240, 360, 1080), repeat=2))
    shapes += [(1, 200), (200, 1), (1, 201), (7, 1500), (3840, 2160)]
    limits = ((4 * 784, 16384 * 784), (128 * 784, 768 * 784), (128 * 784, 105369), (1, 3136))
    for (h, w), factor, (low, high) in itertools.product(shapes, (28, 32), limits):
        try:
            size = list(published.smart_resize(h, w, factor, low, high))
        except ValueError:
            size = None
        resizes.append([h, w, factor, low, high, size])
    published.get_video_reader_backend = lambda: "zeros"
    for h, w in ((90, 160), (240, 426), (270, 270)):
        for n, total, low in itertools.product(
            (2, 16, 64, 256), (None, 500_000, 5_000_000), (4 * 784, 128 * 784)
        ):
            published.VIDEO_READER_BACKENDS["zeros"] = lambda _, n=n, h=h, w=w: (
                torch.zeros(n, 3, h, w, dtype=torch.uint8),
                {},
                1.0,
            )
            element = {"video": "x", "min_pixels": low, "max_pixels": 768 * 784}
            if total is not None:
                element["total_pixels"] = total
            video = published.fetch_video(element)
            sizes.append([h, w, n, total, low, list(video.shape[2:])])
    return {"frames": frames, "resizes": resizes, "sizes": sizes}


def patches() -> list[dict]:
    from transformers.models.qwen2_vl.image_processing_qwen2_vl import Qwen2VLImageProcessor
    from transformers.models.qwen2_vl.video_processing_qwen2_vl import Qwen2VLVideoProcessor
    from transformers.models.qwen3_vl.video_processing_qwen3_vl import Qwen3VLVideoProcessor

    out = []
    for name, patch, make in (
        ("qwen2_vl video", 14, Qwen2VLVideoProcessor),
        ("qwen3_vl video", 16, Qwen3VLVideoProcessor),
        ("qwen2_vl image", 14, Qwen2VLImageProcessor),
    ):
        for frames, rows, columns in ((16, 4, 6), (5, 2, 2), (1, 8, 2)):
            image = "image" in name
            frames = 1 if image else frames
            rng = np.random.default_rng([patch, frames, rows, columns])
            shape = (frames, 3, rows * patch, columns * patch)
            pixels = torch.from_numpy(rng.integers(0, 256, shape, dtype=np.uint8))
            if image:
                processor = make()
                got = processor(images=[pixels[0]], do_resize=False, return_tensors="pt")
                values, grid = got["pixel_values"], got["image_grid_thw"]
            else:
                processor = make(cap_pixels_per_frame=False)
                got = processor(
                    videos=[pixels], do_resize=False, do_sample_frames=False, return_tensors="pt"
                )
                values, grid = got["pixel_values_videos"], got["video_grid_thw"]
            out.append(
                {
                    "processor": name,
                    "patch": patch,
                    "mean": list(processor.image_mean),
                    "std": list(processor.image_std),
                    "frames": frames,
                    "rows": rows,
                    "columns": columns,
                    "grid": grid[0].tolist(),
                    "shape": list(values.shape),
                    "sha256": hashlib.sha256(values.numpy().tobytes()).hexdigest(),
                    "first": values[0, :4].tolist(),
                }
            )
    return out


def resized() -> list[dict]:
    from torchvision.transforms.v2 import functional

    out = []
    for name, size in (("bicubic", (14, 28)), ("bilinear", (14, 28)), ("bicubic", (56, 42))):
        pixels = np.random.default_rng(5).integers(0, 256, (3, 31, 40), dtype=np.uint8)
        mode = functional.InterpolationMode(name)
        got = functional.resize(
            torch.from_numpy(pixels), list(size), interpolation=mode, antialias=True
        )
        out.append({"resample": name, "size": size, "pixels": got.tolist()})
    return out


if __name__ == "__main__":
    declare_torchvision_operators()
    for name, make in (("sampling", sampling), ("patches", patches), ("resized", resized)):
        (HERE / f"{name}.json").write_text(json.dumps(make()) + "\n", encoding="utf-8")
        print(name, file=sys.stderr)
