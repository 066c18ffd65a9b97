"""Published sampling contracts by name, as arguments of VideoSpec.

Sources: Video-R1 paper section 4 and its training and evaluation scripts; Open-R1-Video
training script of 22 Feb 2025; VidBridge-R1 paper section 4; qwen-vl-utils 0.0.14 defaults.
"""

from __future__ import annotations

from typing import Any

_PATCH = 28 * 28

_VIDEO_R1 = {"fps": 2.0, "min_frames": 4, "frame_factor": 2}

VIDEO_PRESETS: dict[str, dict[str, Any]] = {
    "video_r1_train": _VIDEO_R1
    | {"max_frames": 16, "min_pixels": 128 * _PATCH, "max_pixels": 128 * _PATCH},
    **{
        f"video_r1_eval_{n}": _VIDEO_R1
        | {"max_frames": n, "min_pixels": 128 * _PATCH, "max_pixels": 256 * _PATCH}
        for n in (16, 32, 64)
    },
    "open_r1_video": {
        "fps": 2.0,
        "min_frames": 4,
        "max_frames": 16,
        "min_pixels": 128 * _PATCH,
        "max_pixels": 196 * _PATCH,
    },
    "vidbridge": {
        "fps": None,
        "nframes": 16,
        "min_pixels": 4 * _PATCH,
        "max_pixels": 196 * _PATCH,
    },
    "qwen_default": {
        "fps": 2.0,
        "min_frames": 4,
        "max_frames": 768,
        "min_pixels": 128 * _PATCH,
        "max_pixels": 768 * _PATCH,
        "total_pixels": int(128000 * _PATCH * 0.9),
    },
}
